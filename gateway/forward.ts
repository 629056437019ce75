/** `/api` on its way to a backend: kept alive, bounded in time, and tried again where that cannot do anything twice. */
import { proxy } from 'hono/proxy'
import pRetry from 'p-retry'
import { problemResponse } from '../shared/protocol/problem.ts'
import type { Log } from '../shared/telemetry/log.ts'
import { createKeepAliveFetch } from './keep-alive-fetch.ts'

/** Answers a request to the API: a backend at the other end of the network, or in the same process. */
export type Api = (request: Request) => Promise<Response>

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
  const backends = createKeepAliveFetch()
  let turn = 0

  return async (request) => {
    const { pathname, search } = new URL(request.url)
    // kept whole, so that it can be sent again
    const body = new Uint8Array(await request.arrayBuffer())
    const attempt = async () => {
      const target = new URL(pathname + search, backendUrls[turn % backendUrls.length])
      const signal = AbortSignal.timeout(timeoutMs)
      try {
        return await proxy(target, {
          method: request.method,
          headers: request.headers,
          customFetch: ({ method, headers }) => backends.send(target, { method, headers, body, signal }),
        })
      } catch (error) {
        turn += 1
        throw asError(error)
      }
    }
    try {
      return await pRetry(attempt, {
        retries: 20,
        minTimeout: 25,
        maxTimeout: 1_000,
        factor: 2,
        randomize: true,
        maxRetryTime: patienceMs,
        shouldRetry: ({ error }) => mayTryAgain(error, request.method),
      })
    } catch (error) {
      const fault = asError(error)
      log.warn({ method: request.method, path: pathname, reason: reason(fault) }, 'no backend answers')
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
