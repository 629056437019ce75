/** How fast a crowd is asked to move: evenly in quiet, slower while those who were asked have not left, and in time at the end. */

/**
 * When each of `count` actions is due, in ms from the start, in rising order and within the spread. Action `i` falls on a random
 * moment of the i-th of `count` equal parts, which is even without being periodic. `random` returns a number in [0, 1).
 */
export function evenSpread(count: number, spreadMs: number, random: () => number): Float64Array {
  const partMs = spreadMs / count
  return Float64Array.from({ length: count }, (_, index) => (index + random()) * partMs)
}

export interface MovePaceOptions {
  readonly count: number
  /** Over how long they are asked in quiet, in ms. Nobody is asked faster. */
  readonly askMs: number
  /** How long each may stay after it was asked, at least, in ms. */
  readonly overlapMs: number
  /** When the last one has to be gone, in ms from the start: `askMs + overlapMs` or later. */
  readonly endMs: number
  /** In [0, 1). */
  readonly random: () => number
}

export interface MovePace {
  /** Whether one more is to be asked, when `asked` have been and `underWay` of those have not left. */
  isDue(elapsedMs: number, asked: number, underWay: number): boolean
  /** Tells that one has left by itself, so long after it was asked. */
  left(tookMs: number): void
  /** How many may still be there; whoever was asked first goes first. Falls evenly to 0 over the last `askMs` before the end. */
  mayStay(elapsedMs: number): number
}

/** Those who leave within this share of the overlap are prompt: an SDK dials within a quarter of it. */
const PROMPT_SHARE = 0.5
/** A few are no crowd. */
const LEAST_WINDOW = 8

/**
 * Creates the pace of a move. One more is asked when the even pace has come to it and the window has room for it: so many may be
 * under way, as in the control of congestion. The window begins with those who are under way at the even pace when each takes half
 * of a prompt time, grows by one with everyone who leaves promptly, up to those who are under way when each takes the whole, and
 * shrinks by one with everyone who does not. Whatever the window says, nobody is asked later than at a slower even pace, halfway
 * between the even pace and the one that leaves the last an overlap and no more: clients that are slow by themselves move in time.
 */
export function createMovePace({ count, askMs, overlapMs, endMs, random }: MovePaceOptions): MovePace {
  const dueMs = evenSpread(count, askMs, random)
  const promptMs = overlapMs * PROMPT_SHARE
  const mostWindow = Math.max(LEAST_WINDOW, (count * promptMs) / Math.max(askMs, 1))
  const firstWindow = Math.max(LEAST_WINDOW, mostWindow / 2)
  let window = firstWindow
  const latestMs = (askMs + endMs - overlapMs) / 2

  const mayStay = (elapsedMs: number) => (elapsedMs >= endMs ? 0 : (count * (endMs - elapsedMs)) / askMs)

  return {
    mayStay,
    isDue(elapsedMs, asked, underWay) {
      if (asked >= count) return false
      if (((asked + 1) / count) * latestMs <= elapsedMs) return true
      return underWay < window && (dueMs[asked] ?? 0) <= elapsedMs
    },
    left(tookMs) {
      window = tookMs <= promptMs ? Math.min(mostWindow, window + 1) : Math.max(firstWindow, window - 1)
    },
  }
}
