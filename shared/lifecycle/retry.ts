/** Connects to a dependency that may not be up yet. */
import pRetry from 'p-retry'
import type { Log } from '../telemetry/log.ts'

/** What an attempt throws when no further one can help: something has to be set differently. Its message says what. */
export class CannotWork extends Error {
  override readonly name = 'CannotWork'
}

export interface RetryOptions {
  /** What is being tried, for the log: "connect to Postgres". */
  readonly what: string
  readonly log: Log
  /** Ends the waiting; the promise then rejects with the signal's reason. */
  readonly signal: AbortSignal
}

/**
 * Tries until it works, until the attempt throws `CannotWork`, or until the signal aborts. The waits between tries are exponential from
 * 100 ms, jittered, 1 s at most.
 */
export async function untilItWorks<T>(attempt: () => Promise<T>, options: RetryOptions): Promise<T> {
  return await pRetry(
    async () => {
      try {
        return await attempt()
      } catch (error) {
        // p-retry treats a TypeError as a programming mistake and gives up, but failed connections throw TypeErrors as well
        throw error instanceof TypeError ? new Error(error.message, { cause: error }) : error
      }
    },
    {
      retries: Infinity,
      minTimeout: 100,
      maxTimeout: 1_000,
      factor: 2,
      randomize: true,
      signal: options.signal,
      shouldRetry: ({ error }) => !(error instanceof CannotWork),
      onFailedAttempt: ({ error, attemptNumber, retryDelay }) => {
        options.log.warn(
          { attempt: attemptNumber, retryInMs: Math.round(retryDelay), reason: error.message },
          `cannot ${options.what} yet`,
        )
      },
    },
  )
}
