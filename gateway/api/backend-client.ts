/**
 * Calls the API of the backends behind this edge: keeps connections alive, bounds each try in time, and repeats a request where
 * that has no second effect.
 */
import pRetry from 'p-retry'
import { Pool, type Dispatcher } from 'undici'
import { problemResponse } from '../../shared/protocol/problem.ts'
import { BundledAnswers, VOTE_BUNDLE_PATH } from '../../shared/protocol/vote-bundle.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import type { Api, ApiRequest } from './api.ts'
import { endToEndHeaders } from './end-to-end-headers.ts'

export interface BackendClientOptions {
  /** One or more; after a failure the next try goes to the next one. */
  readonly backendUrls: readonly string[]
  readonly log: Log
  /** How long one try may wait for the head of the answer, and then for each further piece, in ms. */
  readonly timeoutMs?: number
  /** For all tries together, in ms: long enough for a backend to be replaced. */
  readonly patienceMs?: number
}

/** The most connections to one backend that carry votes and other changes; further ones wait until one is free. */
const MAX_CONNECTIONS = 1_024
/** The most that carry requests to read. A crowd that reads waits for them here, where no vote waits behind it (docs/adr/0021). */
const MAX_READ_CONNECTIONS = 16
/** Shorter than a backend keeps an idle connection open, so that no backend closes one just when a request reuses it. */
const IDLE_MS = 30_000
const CONNECT_MS = 2_000
/** The client collects answers up to this length, and streams longer ones (such as exports) and those of unknown length. */
const MAX_COLLECTED_BYTES = 262_144

const IDEMPOTENT = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])
/** Failures before anything was sent. */
const NEVER_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT'])
/** Failures of a connection that may have carried the whole request. */
const BROKEN = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'HPE_INVALID_EOF_STATE'])
const TIMED_OUT = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT'])

export function createBackendClient({ backendUrls, log, ...options }: BackendClientOptions): Api {
  const { timeoutMs = 10_000, patienceMs = 8_000 } = options
  const settings = {
    // backends speak HTTP/1.1, over TLS too
    allowH2: false,
    connect: { timeout: CONNECT_MS },
    keepAliveTimeout: IDLE_MS,
    keepAliveMaxTimeout: IDLE_MS,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
  }
  const poolsOf = (connections: number) => backendUrls.map((url) => new Pool(new URL(url).origin, { ...settings, connections }))
  const [writing, reading] = [poolsOf(MAX_CONNECTIONS), poolsOf(MAX_READ_CONNECTIONS)]
  let turn = 0

  /** Sends once and reads the answer; after a failure the next try goes to the next backend. */
  const attempt = async <T>({ method, target, headers, body }: ApiRequest, read: Read<T>): Promise<T> => {
    const backends = method === 'GET' || method === 'HEAD' ? reading : writing
    const backend = backends[turn % backends.length]
    if (backend === undefined) throw new Error('no backend is configured')
    try {
      return await read(await backend.request({ path: target, method, headers, ...(body === undefined ? {} : { body }) }))
    } catch (error) {
      turn += 1
      throw asError(error)
    }
  }

  const tryAgain = <T>(request: ApiRequest, read: Read<T>) =>
    pRetry(() => attempt(request, read), {
      retries: 20,
      minTimeout: 25,
      maxTimeout: 1_000,
      factor: 2,
      randomize: true,
      maxRetryTime: patienceMs,
      shouldRetry: ({ error }) => mayTryAgain(error, request.method),
    })

  /** Resolves to what `read` makes of the answer, or to a problem when no backend answers. */
  const exchange = async <T>(request: ApiRequest, read: Read<T>): Promise<T | Response> => {
    try {
      return await attempt(request, read).catch((error: unknown) => {
        if (mayTryAgain(asError(error), request.method)) return tryAgain(request, read)
        throw error
      })
    } catch (error) {
      const reason = codeOf(asError(error))
      log.warn({ method: request.method, path: pathOf(request), reason }, 'no backend answers')
      return TIMED_OUT.has(reason)
        ? problemResponse(
            504,
            'timeout',
            'No backend answered in time. Whether the request was carried out is not known; repeating it is safe for GET and PUT.',
          )
        : problemResponse(503, 'unavailable', 'No backend can be reached. Try again in a moment.', { 'retry-after': '1' })
    }
  }

  return {
    fetch: (request) => exchange(request, responseOf),
    async castVotes(votes) {
      const body = Buffer.from(JSON.stringify(votes))
      const headers = { 'content-type': 'application/json' }
      const answer = await exchange({ method: 'PUT', target: VOTE_BUNDLE_PATH, headers, body }, async (received) =>
        received.statusCode === 200 ? await received.body.text() : await responseOf(received),
      )
      if (typeof answer === 'string') return BundledAnswers.length(votes.length).parse(JSON.parse(answer))
      const refusal = { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() }
      return votes.map(() => refusal)
    },
  }
}

type Read<T> = (answer: Dispatcher.ResponseData) => Promise<T>

async function responseOf({ statusCode: status, headers, body }: Dispatcher.ResponseData): Promise<Response> {
  const passedOn = headersOf(headers)
  if (isBodyless(status)) {
    await body.dump()
    return new Response(null, { status, headers: passedOn })
  }
  const length = Number(headers['content-length'] ?? Number.NaN)
  if (length <= MAX_COLLECTED_BYTES) return new Response(await body.bytes(), { status, headers: passedOn })
  return new Response(ReadableStream.from(body), { status, headers: passedOn })
}

/** Returns a record unless there are several cookies: the server writes a record out without making it a Headers object. */
function headersOf(received: Record<string, string | string[] | undefined>): Record<string, string> | [string, string][] {
  const headers = endToEndHeaders(received)
  const cookies = received['set-cookie']
  if (typeof cookies === 'string') headers['set-cookie'] = cookies
  if (!Array.isArray(cookies)) return headers
  return [...Object.entries(headers), ...cookies.map((cookie): [string, string] => ['set-cookie', cookie])]
}

/** Statuses whose responses have no content (RFC 9110 §6.4.1). */
function isBodyless(status: number): boolean {
  return status === 204 || status === 205 || status === 304
}

/** The path without its query, which may hold a ticket. */
function pathOf({ target }: ApiRequest): string {
  return target.split('?', 1)[0] ?? ''
}

/**
 * Whether to repeat a request: one that was never sent always, one that may have arrived only if its method is idempotent (RFC
 * 9110 §9.2.2).
 */
function mayTryAgain(error: Error, method: string): boolean {
  const code = codeOf(error)
  return NEVER_SENT.has(code) || (IDEMPOTENT.has(method) && BROKEN.has(code))
}

/**
 * The code of the system or of undici. Node throws an AggregateError with the code of the first when it tried several addresses.
 */
function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
