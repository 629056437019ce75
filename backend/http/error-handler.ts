/** The error handler: answers a request that ended in an error, and logs the error unless it is a problem. */
import { HTTPException } from 'hono/http-exception'
import { problemResponse } from '../../shared/protocol/problem.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import { VoteUnconfirmed } from '../ballots/cast-outcome.ts'
import { DatabaseUnavailable, isTransient } from '../database/errors.ts'
import { asProblem } from './problems.ts'

/** The request that ended in the error, for the log. */
export interface ErrorContext {
  readonly requestId: string
  readonly method: string
  readonly path: string
}

export function answerToError(error: unknown, log: Log, where: ErrorContext): Response {
  if (error instanceof HTTPException) return asProblem(error)
  const context = { ...where, err: error }
  if (error instanceof VoteUnconfirmed) {
    log.warn(context, 'a vote could not be confirmed')
    return problemResponse(503, 'unconfirmed', 'Whether the vote was counted is not known. Repeat it: it counts once.', {
      'retry-after': '1',
    })
  }
  if (error instanceof DatabaseUnavailable || isTransient(error)) {
    log.warn(context, 'the database did not answer a request')
    return problemResponse(503, 'unavailable', 'The database does not answer. Try again in a moment.', { 'retry-after': '1' })
  }
  log.error(context, 'a request failed')
  return problemResponse(500, 'internal', 'The fault is logged here under the request id.', { 'x-request-id': where.requestId })
}
