/**
 * Full-jitter exponential backoff: a random delay between 0 and `base × 2^attempt`, capped.
 *
 * Full jitter spreads a crowd that lost its server at the same moment over the whole interval, which equal or decorrelated
 * jitter do less well (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
 */
export interface BackoffOptions {
  /** Upper bound of the first delay. */
  readonly baseMs: number
  /** No delay is ever longer. */
  readonly capMs: number
}

export const RECONNECT_BACKOFF: BackoffOptions = { baseMs: 250, capMs: 10_000 }

/** The delay before try number `attempt` (0 for the first), in milliseconds. `random` returns a number in [0, 1). */
export function backoffMs(attempt: number, random: () => number, options: BackoffOptions = RECONNECT_BACKOFF): number {
  const ceilingMs = Math.min(options.capMs, options.baseMs * 2 ** Math.min(attempt, 30))
  return random() * ceilingMs
}
