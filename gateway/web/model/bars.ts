import type { PollFrame, TallyFrame } from '../../../shared/protocol/frames.ts'

/** Okabe and Ito's palette, which colour-blind eyes tell apart, in an order that keeps neighbours distinct. Labels say the same. */
const PALETTE = ['#0072b2', '#d55e00', '#009e73', '#e69f00', '#cc79a7', '#56b4e9', '#f0e442', '#8a8a8a'] as const

/** The colour of the option at this position, unless the organiser chose one. */
export function paletteColor(index: number): string {
  return PALETTE[index % PALETTE.length] ?? PALETTE[0]
}

export interface Bar {
  readonly option: string
  readonly label: string
  readonly color: string
  readonly count: number
  /** The bar's length: 0 to 1 of the track. */
  readonly share: number
  /** The share as shown, in percent; all bars together make exactly 100. */
  readonly percent: number
  /** More votes than any other. */
  readonly isLeading: boolean
}

/** What there is to draw. `hidden`: the organiser holds the counts back. `none`: nobody has voted, so there are no shares. */
export interface Bars {
  readonly kind: 'bars' | 'hidden' | 'none'
  readonly bars: readonly Bar[]
  readonly total: number
  /** Digits after the decimal point in `percent`. */
  readonly decimals: 0 | 1
}

export function barsOf(poll: PollFrame, tally: TallyFrame): Bars {
  const { counts } = tally
  const numbers = poll.options.map(({ id }) => (counts && Object.hasOwn(counts, id) ? (counts[id] ?? 0) : 0))
  const total = counts ? numbers.reduce((sum, each) => sum + each, 0) : tally.total
  const decimals = total >= 1_000 ? 1 : 0
  const percents = percentsOf(numbers, decimals)
  const most = Math.max(...numbers)
  const hasLeader = most > 0 && numbers.filter((each) => each === most).length === 1
  const kind = counts ? (total > 0 ? 'bars' : 'none') : 'hidden'
  const bars = poll.options.map(({ id, label, color }, index): Bar => {
    const count = numbers[index] ?? 0
    return {
      option: id,
      label,
      color: color ?? paletteColor(index),
      count,
      share: total > 0 && counts ? count / total : 0,
      percent: percents[index] ?? 0,
      isLeading: hasLeader && count === most,
    }
  })
  return { kind, bars, total, decimals }
}

/** Shares in percent by largest remainder, so that what is shown adds up to 100. */
function percentsOf(numbers: readonly number[], decimals: number): readonly number[] {
  const total = numbers.reduce((sum, each) => sum + each, 0)
  if (total === 0) return numbers.map(() => 0)
  const units = 100 * 10 ** decimals
  const exact = numbers.map((each) => (each / total) * units)
  const rounded = exact.map(Math.floor)
  const left = units - rounded.reduce((sum, each) => sum + each, 0)
  const byRemainder = exact
    .map((each, index) => ({ index, remainder: each - Math.floor(each) }))
    .toSorted((a, b) => b.remainder - a.remainder)
  for (const { index } of byRemainder.slice(0, left)) rounded[index] = (rounded[index] ?? 0) + 1
  return rounded.map((each) => each / 10 ** decimals)
}
