/** Spreads many actions evenly over a time, without a timer for each. */
import type { Clock } from './clock.ts'

/**
 * When each of `count` actions is due, in ms from the start, in rising order and within the spread. Action `i` falls on a random
 * moment of the i-th of `count` equal parts, which is even without being periodic. `random` returns a number in [0, 1).
 */
export function evenSpread(count: number, spreadMs: number, random: () => number): Float64Array {
  const partMs = spreadMs / count
  return Float64Array.from({ length: count }, (_, index) => (index + random()) * partMs)
}

export interface PaceOptions {
  /** When each is due, in ms from now, in rising order. */
  readonly dueMs: ArrayLike<number>
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Called with 0, 1, 2 …, each at its time. */
  readonly act: (index: number) => void
}

/** The shortest wait, in ms: short enough to spread a crowd, long enough for 200 wake-ups a second at most. */
const TICK_MS = 5

/**
 * Calls `act` for each when it is due. A process that is late calls it for all that are overdue at the next tick; an abort leaves
 * the rest undone.
 */
export async function pace({ dueMs, clock, signal, act }: PaceOptions): Promise<void> {
  const startedAt = clock.now()
  for (let next = 0; next < dueMs.length && !signal.aborted;) {
    const aheadMs = (dueMs[next] ?? 0) - (clock.now() - startedAt)
    if (aheadMs > 0) await clock.wait(Math.max(aheadMs, TICK_MS), signal)
    const elapsedMs = clock.now() - startedAt
    while (next < dueMs.length && (dueMs[next] ?? 0) <= elapsedMs && !signal.aborted) act(next++)
  }
}
