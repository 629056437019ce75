/** From the visits of all rounds to medians, and to ratios between contenders that met in the same round. */
import type { ContenderName } from './contenders.ts'
import type { Visit } from './visit.ts'

export interface Spread {
  readonly median: number
  readonly least: number
  readonly most: number
}

/** One round: every contender's visit. */
export type Round = Partial<Record<ContenderName, Visit>>

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  if (sorted.length === 0) return Number.NaN
  return sorted.length % 2 === 1 ? (sorted[Math.floor(middle)] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

export function spread(values: readonly number[]): Spread | undefined {
  if (values.length === 0) return undefined
  return { median: median(values), least: Math.min(...values), most: Math.max(...values) }
}

export type Figure = (visit: Visit) => number | undefined

/** A contender's figure over the rounds; undefined when it was not measured. */
export function over(rounds: readonly Round[], contender: ContenderName, figure: Figure): Spread | undefined {
  return spread(rounds.flatMap((round) => (round[contender] === undefined ? [] : (figure(round[contender]) ?? []))))
}

/** The gateway's figure divided by another's, round by round: what slows a round down slows both. */
export function against(rounds: readonly Round[], other: ContenderName, figure: Figure): Spread | undefined {
  return spread(
    rounds.flatMap(({ livetally, ...others }) => {
      const theirs = others[other as Exclude<ContenderName, 'livetally'>]
      if (livetally === undefined || theirs === undefined) return []
      const [a, b] = [figure(livetally), figure(theirs)]
      return a === undefined || b === undefined || b === 0 ? [] : a / b
    }),
  )
}
