/** A clock that a test moves. */
import type { Clock } from '../../shared/lifecycle/clock.ts'

export interface ManualClock extends Clock {
  /** Steps the wall clock, and nothing else, by so many milliseconds. */
  stepDate(ms: number): void
  /** Moves time on and resolves every wait whose time has come, in order. */
  advance(ms: number): Promise<void>
}

export function createManualClock(startMs = 0): ManualClock {
  let nowMs = startMs
  let dateAheadMs = 0
  let waits: { readonly dueMs: number; readonly wake: () => void }[] = []

  /** Lets all work run that waits for promises which are already settled. */
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve))

  return {
    now: () => nowMs,
    date: () => nowMs + dateAheadMs,
    stepDate(ms) {
      dateAheadMs += ms
    },
    wait(ms, signal) {
      if (signal?.aborted) return Promise.resolve()
      return new Promise<void>((resolve) => {
        const entry = { dueMs: nowMs + ms, wake: resolve }
        waits.push(entry)
        signal?.addEventListener('abort', () => {
          waits = waits.filter((other) => other !== entry)
          resolve()
        })
      })
    },
    async advance(ms) {
      const untilMs = nowMs + ms
      await settle()
      for (;;) {
        const next = waits.filter((entry) => entry.dueMs <= untilMs).toSorted((a, b) => a.dueMs - b.dueMs)[0]
        if (next === undefined) break
        waits = waits.filter((entry) => entry !== next)
        nowMs = Math.max(nowMs, next.dueMs)
        next.wake()
        await settle()
      }
      nowMs = untilMs
      await settle()
    },
  }
}
