/** Guards work that depends on something that may fail or hang: ends it in time, delays further tries, and logs an outage once. */
import type { Log } from '../telemetry/log.ts'
import { TimedOut, within } from './within.ts'

export interface RetryGuardOptions {
  readonly log: Log
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Logged when the work starts to fail, and when it works again, however many tries lie between. */
  readonly begins: string
  readonly ends: string
  /** How long one try may take, in ms. The next try may begin while one that took longer still waits. Default: any time. */
  readonly boundMs?: number
  /** Called when a try was given up because it took too long. */
  readonly onStuck?: () => void
}

export interface RetryGuard {
  /** Runs `work`. Notes a failure in `error` instead of throwing it. */
  guard(work: () => Promise<void>): Promise<void>
  /** The failure of the last try, if it failed. */
  readonly error: string | undefined
  /** When the next try is due, in monotonic ms. */
  readonly retryAt: number
  /** When a try last succeeded, in monotonic ms; undefined before the first time. */
  readonly at: number | undefined
}

/** No two tries are further apart than this, in ms: what depends on the work waits so long after the fault is over. */
const MAX_DELAY_MS = 500

export function createRetryGuard(options: RetryGuardOptions): RetryGuard {
  const { log, now, begins, ends, boundMs = 2 ** 31 - 1, onStuck = () => {} } = options
  let error: string | undefined
  let failures = 0
  let sinceAt = 0
  let retryAt = 0
  let succeededAt: number | undefined
  return {
    guard: async (work) => {
      try {
        await within(boundMs, 'it has not ended', work())
        succeededAt = now()
        if (error !== undefined) log.info({ afterMs: Math.round(succeededAt - sinceAt), tries: failures }, ends)
        error = undefined
        failures = 0
        retryAt = 0
      } catch (fault) {
        if (fault instanceof TimedOut) onStuck()
        if (error === undefined) {
          sinceAt = now()
          log.warn({ reason: String(fault) }, begins)
        }
        error = String(fault)
        retryAt = now() + Math.min(50 * 2 ** failures++, MAX_DELAY_MS)
      }
    },
    get error() {
      return error
    },
    get retryAt() {
      return retryAt
    },
    get at() {
      return succeededAt
    },
  }
}

/** What became of the last try, for a check of the probes. */
export interface StageHealth {
  readonly ok: boolean
  /** When it last succeeded, in monotonic ms; undefined before the first time. */
  readonly at: number | undefined
  readonly error?: string
}

export function healthOf({ error, at }: RetryGuard): StageHealth {
  return { ok: error === undefined && at !== undefined, at, ...(error === undefined ? {} : { error }) }
}
