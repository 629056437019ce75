/** Guards work that depends on something that may fail: delays further tries ever longer, and logs an outage once. */
import type { Log } from '../telemetry/log.ts'

export interface RetryGuard {
  /** Runs `work`. Notes a failure in `error` instead of throwing it. */
  guard(work: () => Promise<void>): Promise<void>
  /** The failure of the last try, if it failed. */
  readonly error: string | undefined
  /** When the next try is due, in monotonic ms. */
  readonly retryAt: number
}

/** Logs `begins` when work starts to fail and `ends` when it succeeds again, however many tries lie between. */
export function createRetryGuard(log: Log, now: () => number, begins: string, ends: string): RetryGuard {
  let error: string | undefined
  let failures = 0
  let sinceAt = 0
  let retryAt = 0
  return {
    guard: async (work) => {
      try {
        await work()
        if (error !== undefined) log.info({ afterMs: now() - sinceAt, tries: failures }, ends)
        error = undefined
        failures = 0
        retryAt = 0
      } catch (fault) {
        if (error === undefined) {
          sinceAt = now()
          log.warn({ reason: String(fault) }, begins)
        }
        error = String(fault)
        retryAt = now() + Math.min(50 * 2 ** failures++, 1_000)
      }
    },
    get error() {
      return error
    },
    get retryAt() {
      return retryAt
    },
  }
}
