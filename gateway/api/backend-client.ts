/**
 * Calls the API of the backends behind this edge: keeps connections alive, bounds each try in time, and repeats a request, with
 * another backend if there is one, where that has no second effect.
 */
import pRetry from 'p-retry'
import { Pool, type Dispatcher } from 'undici'
import { PROBLEM_CONTENT_TYPE, problemResponse } from '../../shared/protocol/problem.ts'
import { type BundledAnswer, BundledAnswers, type BundledVote, VOTE_BUNDLE_PATH } from '../../shared/protocol/vote-bundle.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import type { Api, ApiRequest } from './api.ts'
import { createBackendRing } from './backend-ring.ts'
import { bundledAnswer, castInHalves } from './cast-in-halves.ts'
import { endToEndHeaders } from './end-to-end-headers.ts'
import { createReadLines } from './read-lines.ts'
import { isCertain, isNotDone } from './refusals.ts'

export interface BackendClientOptions {
  /** One or more. One may stand for several replicas, so what fails is tried twice in any case. */
  readonly backendUrls: readonly string[]
  readonly log: Log
  /** How long a try may wait for its answer while another one may follow, in ms. */
  readonly tryMs?: number
  /** For all tries together until the head of the answer, in ms: long enough for a backend to be replaced. */
  readonly patienceMs?: number
}

/** The most connections to one backend; further requests wait until one is free. */
const MAX_CONNECTIONS = 1_024
/** Shorter than a backend keeps an idle connection open, so that no backend closes one just when a request reuses it. */
const IDLE_MS = 30_000
const CONNECT_MS = 2_000
/** How long an answer may pause once it has begun, in ms. */
const BODY_MS = 10_000
/** The client collects answers up to this length, and streams longer ones (such as exports) and those of unknown length. */
const MAX_COLLECTED_BYTES = 262_144

/** Methods of requests that change nothing. */
const READS = new Set(['GET', 'HEAD'])
const IDEMPOTENT = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS'])
/** Methods of requests that another backend may be given while one may still be at them: reads, and votes, which have an order. */
const PARALLEL = new Set(['GET', 'HEAD', 'PUT'])
/** Failures before anything was sent. */
const NEVER_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'UND_ERR_CONNECT_TIMEOUT'])
/** Failures of a connection that may have carried the whole request. */
const BROKEN = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET', 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'HPE_INVALID_EOF_STATE'])
/** Failures to answer in time of a backend that has the request. */
const HUNG = new Set(['ETIMEDOUT', 'UND_ERR_BODY_TIMEOUT'])
/** How long a backend that did not answer in time is avoided, in ms, and any other that failed. */
const AVOID_HUNG_MS = 10_000
const AVOID_FAILED_MS = 1_000

/** What has happened to a request, or to the votes of one bundle. */
interface Course {
  /** When all tries have to be over, by `performance.now()`. */
  readonly until: number
  readonly failed: Set<Pool>
  /** How many tries have ended without an answer in time, or with a refusal. */
  fruitless: number
  /** Whether a try has ended without a word on whether something was changed, so that it may have been, or still be. */
  mayBeDone: boolean
  latest?: Pool
}

/** No backend's answer came within the time of the try. */
class NoAnswer extends Error {
  readonly code = 'ETIMEDOUT'
}

/** The answer of a backend that did nothing. */
class NotDone extends Error {
  readonly answer: Response
  override readonly name = 'NotDone'
  constructor(answer: Response) {
    super('a backend refused a request')
    this.answer = answer
  }
}

export function createBackendClient({ backendUrls, log, ...options }: BackendClientOptions): Api {
  const { tryMs = 3_000, patienceMs = 9_000 } = options
  const settings = {
    // backends speak HTTP/1.1, over TLS too
    allowH2: false,
    connections: MAX_CONNECTIONS,
    connect: { timeout: CONNECT_MS },
    keepAliveTimeout: IDLE_MS,
    keepAliveMaxTimeout: IDLE_MS,
    // each try has a timer of its own, which also runs while the request waits for a connection
    headersTimeout: 0,
    bodyTimeout: BODY_MS,
  }
  const hosts = new Map(backendUrls.map((url) => [new Pool(new URL(url).origin, settings), new URL(url).host]))
  const backends = [...hosts.keys()]
  const ring = createBackendRing(backends, () => performance.now())
  const maxFruitless = Math.max(2, backends.length)
  const newCourse = (): Course => ({ until: performance.now() + patienceMs, failed: new Set(), fruitless: 0, mayBeDone: false })

  const fail = (backend: Pool, course: Course, avoidMs: number, reason: string) => {
    course.failed.add(backend)
    // once, not for each of the requests that were under way
    if (ring.fail(backend, avoidMs)) log.warn({ backend: hosts.get(backend), reason, avoidMs }, 'a backend is avoided')
  }

  /** Sends once and reads the answer. The last try may take all the time that is left, the others `tryMs` each. */
  const attempt = async <T>(request: ApiRequest, read: Read<T>, course: Course): Promise<T> => {
    const { method, target: path, headers, body } = request
    const backend = ring.choose(course.failed)
    course.latest = backend
    const leftMs = Math.max(0, course.until - performance.now())
    const isLast = course.fruitless + 1 >= maxFruitless || !PARALLEL.has(method)
    const overdue = Promise.withResolvers<never>()
    const abort = new AbortController()
    const giveUp = () => {
      // a request that still waits for a connection hears of the signal only when it gets one
      overdue.reject(new NoAnswer())
      abort.abort(new NoAnswer())
    }
    const timer = setTimeout(giveUp, isLast ? leftMs : Math.min(tryMs, leftMs))
    const { signal } = abort
    const sent = backend.request({ path, method, headers, signal, ...(body === undefined ? {} : { body }) })
    try {
      const result = await Promise.race([sent.then(read), overdue.promise])
      ring.answer(backend)
      return result
    } catch (error) {
      const code = codeOf(asError(error))
      if (HUNG.has(code) || error instanceof NotDone) course.fruitless += 1
      if (!NEVER_SENT.has(code) && !(error instanceof NotDone) && !READS.has(method)) course.mayBeDone = true
      fail(backend, course, HUNG.has(code) || code === 'UND_ERR_CONNECT_TIMEOUT' ? AVOID_HUNG_MS : AVOID_FAILED_MS, code)
      throw asError(error)
    } finally {
      clearTimeout(timer)
    }
  }

  /** Whether to repeat a request after a try that failed with `error`. */
  const mayTryAgain = (error: Error, { method }: ApiRequest, { fruitless }: Course): boolean => {
    if (error instanceof NotDone) return fruitless < maxFruitless
    const code = codeOf(error)
    // what was never sent, in any case; what may have arrived only if its method is idempotent (RFC 9110 §9.2.2)
    if (NEVER_SENT.has(code)) return true
    if (HUNG.has(code)) return PARALLEL.has(method) && fruitless < maxFruitless
    return IDEMPOTENT.has(method) && BROKEN.has(code)
  }

  const tryAgain = <T>(request: ApiRequest, read: Read<T>, course: Course) =>
    pRetry(() => attempt(request, read, course), {
      retries: 20,
      minTimeout: 25,
      maxTimeout: 1_000,
      factor: 2,
      randomize: true,
      maxRetryTime: Math.max(0, course.until - performance.now()),
      shouldRetry: ({ error }) => mayTryAgain(error, request, course),
    })

  /**
   * Resolves to what `read` makes of the answer, or to a problem when no backend answers. A refusal of one try says nothing of an earlier
   * one that may have been carried out.
   */
  const exchange = async <T>(request: ApiRequest, read: Read<T>, course = newCourse()): Promise<T | Response> => {
    const answer = await lastAnswer(request, read, course)
    if (!course.mayBeDone || !(answer instanceof Response) || answer.status !== 503) return answer
    await answer.body?.cancel()
    return notKnown()
  }

  const lastAnswer = async <T>(request: ApiRequest, read: Read<T>, course: Course): Promise<T | Response> => {
    try {
      return await attempt(request, read, course).catch((error: unknown) => {
        if (mayTryAgain(asError(error), request, course)) return tryAgain(request, read, course)
        throw error
      })
    } catch (error) {
      if (error instanceof NotDone) return error.answer
      const reason = codeOf(asError(error))
      log.warn({ method: request.method, path: pathOf(request), reason }, 'no backend answers')
      return HUNG.has(reason)
        ? notKnown()
        : problemResponse(503, 'unavailable', 'No backend can be reached. Try again in a moment.', { 'retry-after': '1' })
    }
  }

  /** Resolves to the answers, or to the answer to the request as a whole where that is a refusal. */
  const castTogether = async (votes: readonly BundledVote[], course: Course): Promise<readonly BundledAnswer[] | Response> => {
    const body = Buffer.from(JSON.stringify(votes))
    const headers = { 'content-type': 'application/json' }
    const answer = await exchange(
      { method: 'PUT', target: VOTE_BUNDLE_PATH, headers, body },
      async (received) => (received.statusCode === 200 ? await received.body.text() : await responseOf(received)),
      course,
    )
    return typeof answer === 'string' ? BundledAnswers.length(votes.length).parse(JSON.parse(answer)) : answer
  }

  const inLine = createReadLines(() => performance.now())

  return {
    async fetch(request) {
      const work = () => exchange(request, responseOf)
      return await (READS.has(request.method) ? inLine(request, work) : work())
    },
    async castVotes(votes) {
      const course = newCourse()
      const answers: BundledAnswer[] = []
      let [left, places] = [votes, [...votes.keys()]]
      for (;;) {
        const round = await castInHalves(
          left,
          (part) => castTogether(part, course),
          (status) => log.warn({ votes: votes.length, status }, 'votes were refused together'),
        )
        const unsure = course.mayBeDone ? await bundledAnswer(notKnown()) : undefined
        for (const [index, answer] of round.entries()) answers[places[index] ?? 0] = (!isCertain(answer) && unsure) || answer
        // a backend that leaves, or has too many votes waiting, answers some votes of a bundle so, and commits the others
        const isLeft = (_: unknown, index: number) => isNotDone(round[index])
        left = left.filter(isLeft)
        places = places.filter(isLeft)
        if (places.length === 0 || ++course.fruitless >= maxFruitless) return answers
        if (course.latest !== undefined) fail(course.latest, course, AVOID_FAILED_MS, 'NotDone')
      }
    },
  }
}

/** The answer when it is not known whether a request was carried out. */
function notKnown(): Response {
  return problemResponse(
    504,
    'timeout',
    'No backend answered in time. Whether the request was carried out is not known; repeating it is safe for GET and PUT.',
  )
}

type Read<T> = (answer: Dispatcher.ResponseData) => Promise<T>

/** The response to pass on. Throws `NotDone` for a problem that says that nothing was done. */
async function responseOf({ statusCode: status, headers, body }: Dispatcher.ResponseData): Promise<Response> {
  const passedOn = headersOf(headers)
  if (isBodyless(status)) {
    await body.dump()
    return new Response(null, { status, headers: passedOn })
  }
  if (status === 503 && headers['content-type'] === PROBLEM_CONTENT_TYPE) {
    const problem = await body.text()
    const response = new Response(problem, { status, headers: passedOn })
    if (isNotDone({ status, body: problem })) throw new NotDone(response)
    return response
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
 * The code of the system or of undici. Node throws an AggregateError with the code of the first when it tried several addresses.
 */
function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
