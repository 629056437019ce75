/** What a seed stands for: the shape of a world and the faults that happen to it. */
import { createRandom } from '../chaos/random.ts'
import { type FaultKind, FAULTS } from './faults.ts'

export interface Fault {
  readonly kind: FaultKind
  readonly at: number
  readonly forMs: number
  /** Who it happens to. */
  readonly target: number
}

export interface Plan {
  readonly seed: number
  readonly polls: number
  readonly screens: number
  readonly voters: number
  /** How long a voter waits between two votes, on average. */
  readonly pauseMs: number
  /** Until when people vote and faults happen. */
  readonly workMs: number
  /** When the last voter ends, if before: what happens then, no later vote heals. */
  readonly voteUntilMs: number
  /** In the end a page is loaded anew, from a gateway that has just started. */
  readonly isFreshInTheEnd: boolean
  readonly faults: readonly Fault[]
}

const KINDS = Object.keys(FAULTS) as FaultKind[]
/** Before this everything starts, in ms. */
const QUIET_START_MS = 900

/** The same plan for the same seed. Each has few kinds of faults, others than its neighbours', so that every mixture comes in time. */
export function planOf(seed: number): Plan {
  const random = createRandom(seed)
  const kinds = random.shuffled(KINDS).slice(0, random.between(1, 4))
  // most are short; in long ones an outage lasts until it has to be told
  const workMs = random.next() < 0.85 ? random.between(2_000, 4_500) : random.between(9_000, 13_000)
  let last = 0
  const faults = Array.from({ length: random.between(1, 6) }, (): Fault => {
    // every other one comes shortly after the one before, on top of its consequences
    const isSoon = last > 0 && last < workMs - 1_200 && random.next() < 0.5
    const at = isSoon ? last + random.between(0, 800) : random.between(QUIET_START_MS, workMs - 400)
    last = at
    // short ones are as likely as long ones
    const forMs = Math.min(workMs - at, Math.round(50 * 240 ** random.next()))
    return { kind: random.pick(kinds), at, forMs, target: random.between(0, 1_000_000) }
  })
  return {
    seed,
    polls: random.between(1, 2),
    screens: random.between(1, 3),
    voters: random.between(1, 3),
    pauseMs: random.pick([100, 300, 1_000]),
    workMs,
    voteUntilMs: workMs * random.pick([0.3, 0.6, 1]),
    isFreshInTheEnd: random.next() < 0.3,
    faults: faults.toSorted((a, b) => a.at - b.at),
  }
}

/** The plan with some of its faults alone, by their places. */
export function keeping(plan: Plan, places: readonly number[]): Plan {
  return { ...plan, faults: plan.faults.filter((_, place) => places.includes(place)) }
}
