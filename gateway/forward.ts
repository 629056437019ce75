/** `/api` on its way to a backend: kept alive, bounded in time, and tried again where that cannot do anything twice. */
import pRetry from 'p-retry'
import { problemResponse } from '../shared/protocol/problem.ts'
import type { Log } from '../shared/telemetry/log.ts'
import type { Api, ApiRequest } from './api.ts'
import { createKeepAliveClient } from './keep-alive-client.ts'

export interface ForwardOptions {
  /** One or more; a try that fails goes on with the next. */
  readonly backendUrls: readonly string[]
  readonly log: Log
  /** For one try, in ms. */
  readonly timeoutMs?: number
  /** For all tries together, in ms: long enough for a backend to be replaced. */
  readonly patienceMs?: number
}

const IDEMPOTENT = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])

export function createForward({ backendUrls, log, timeoutMs = 10_000, patienceMs = 8_000 }: ForwardOptions): Api {
  const client = createKeepAliveClient()
  const backends = backendUrls.map((url) => new URL(url))
  let turn = 0

  const attempt = async (request: ApiRequest) => {
    const backend = backends[turn % backends.length]
    if (backend === undefined) throw new Error('no backend is configured')
    try {
      return await client.send(backend, request, timeoutMs)
    } catch (error) {
      turn += 1
      throw asError(error)
    }
  }

  const tryAgain = (request: ApiRequest) =>
    pRetry(() => attempt(request), {
      retries: 20,
      minTimeout: 25,
      maxTimeout: 1_000,
      factor: 2,
      randomize: true,
      maxRetryTime: patienceMs,
      shouldRetry: ({ error }) => mayTryAgain(error, request.method),
    })

  return async (request) => {
    try {
      return await attempt(request).catch((error: unknown) => {
        if (mayTryAgain(asError(error), request.method)) return tryAgain(request)
        throw error
      })
    } catch (error) {
      const fault = asError(error)
      log.warn({ method: request.method, path: pathOf(request), reason: reason(fault) }, 'no backend answers')
      return fault.name === 'TimeoutError'
        ? problemResponse(
            504,
            'timeout',
            'No backend answered in time. Whether the request was carried out is not known; repeating it is safe for GET and PUT.',
          )
        : problemResponse(503, 'unavailable', 'No backend can be reached. Try again in a moment.', { 'retry-after': '1' })
    }
  }
}

/** Without its query, which is nobody's business in a log. */
function pathOf({ target }: ApiRequest): string {
  return target.split('?', 1)[0] ?? ''
}

/** A refused connection carried nothing; a broken one may have carried everything, so only idempotent methods (RFC 9110 §9.2.2) go again. */
function mayTryAgain(error: Error, method: string): boolean {
  const code = reason(error)
  if (code === 'ECONNREFUSED' || code === 'ENOTFOUND' || code === 'EAI_AGAIN') return true
  return IDEMPOTENT.has(method) && (code === 'ECONNRESET' || code === 'EPIPE')
}

/** The system's code; several addresses tried at once come as an AggregateError with the code of the first. */
function reason(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
