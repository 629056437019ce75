/** Notices that the process did not run for a while: it was stopped, or the machine slept, or the event loop was blocked. */

/** In so many turns after a halt the event loop has seen who has gone meanwhile: one turn brings a request, a later one its end. */
export const TURNS_AFTER_HALT = 8

export interface Halts {
  /** Whether there was a halt of more than a second, and the event loop may not have seen yet all that happened meanwhile. */
  isRecent(): boolean
  stop(): void
}

const TICK_MS = 250
const HALT_MS = 1_000
/** How long a halt is recent. */
const RECENT_MS = 1_000

/** @param now Milliseconds. */
export function watchHalts(now: () => number): Halts {
  let tickedAt = now()
  let haltedAt = -Infinity
  const tick = () => {
    const time = now()
    if (time - tickedAt > TICK_MS + HALT_MS) haltedAt = time
    tickedAt = time
  }
  const timer = setInterval(tick, TICK_MS).unref()
  return {
    isRecent: () => {
      const time = now()
      // requests may be read before the timer is served
      return time - tickedAt > TICK_MS + HALT_MS || time - haltedAt < RECENT_MS
    },
    stop: () => clearInterval(timer),
  }
}
