/**
 * The route of `/api` through the edge. It recognises a vote, once, and makes it a typed vote; it passes every other request on
 * unchanged. A vote bypasses Hono's context and middleware, whose cost it saves (docs/adr/0008).
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { parse } from 'hono/utils/cookie'
import { problemResponse } from '../../shared/protocol/problem.ts'
import { type BundledAnswer, type BundledVote, MAX_TICKET_LENGTH, voterCookieName } from '../../shared/protocol/vote-bundle.ts'
import type { OriginCheck } from '../access/allowed-origins.ts'
import type { Peer, PeerReader } from '../access/client-address.ts'
import type { Limited, RequestLimits } from '../access/request-limits.ts'
import type { Api } from '../api/api.ts'
import { endToEndHeaders } from '../api/end-to-end-headers.ts'
import { isSlowRead } from '../api/read-lines.ts'
import { type Body, createBodyReader } from './request-body.ts'
import type { SecurityHeaders } from './security-headers.ts'

/** Casts a vote; `isAwaited` says whether its sender is still there to be answered. */
export type CastVote = (vote: BundledVote, isAwaited: () => boolean) => Promise<BundledAnswer>

export interface ApiRouteOptions {
  readonly fetch: Api['fetch']
  readonly castVote: CastVote
  readonly readPeer: PeerReader
  readonly isOriginAllowed: OriginCheck
  readonly limits: RequestLimits
  readonly securityHeaders: Pick<SecurityHeaders, 'closedHeaders' | 'shareBallot'>
  /** Called with each answered vote. */
  readonly onAnswered: (request: AnsweredRequest, status: number, seconds: number) => void
  /** Answers after a fault of this process. */
  readonly onFault: (request: AnsweredRequest, error: unknown) => Response
}

export interface ApiRoute {
  /** Answers a request for which `isVote` holds. Also sets the security headers on `outgoing`. */
  castVote(incoming: IncomingMessage, outgoing: ServerResponse): Promise<Response>
  /** Passes any other request on to the given target. */
  passOn(incoming: IncomingMessage, target: string, requestId: string): Promise<Response>
}

/** What logs and metrics say of a request. */
export interface AnsweredRequest {
  readonly requestId: string
  readonly method: string
  readonly path: string
}

/** More than a voter cookie has characters. */
const MAX_COOKIE_LENGTH = 200
/** Methods whose requests have no body. */
const READS = new Set(['GET', 'HEAD', 'TRACE'])
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS'])
/** The target as our clients write it. A target that needs decoding does not match; the backend judges it. */
const VOTE_TARGET = /^\/api\/polls\/([a-z0-9]+(?:-[a-z0-9]+)*)\/vote$/
const MAX_SLUG_LENGTH = 64
/** The request ids that Hono's `requestId` accepts from a client. */
const REQUEST_ID = /^[\w\-=]{1,255}$/
/** Headers that a proxy, or a client that poses as one, may have set. The edge replaces or drops them. */
const SENT_ANEW = new Set([
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-proto',
  'x-forwarded-port',
  'x-real-ip',
  'host',
  'content-length',
  'expect',
])

/** Whether the request is a vote: a PUT of JSON to a poll's `vote`. */
export function isVote({ method, url, headers }: IncomingMessage): boolean {
  return method === 'PUT' && slugOf(url) !== undefined && isJson(headers['content-type'])
}

export function createApiRoute(options: ApiRouteOptions): ApiRoute {
  const { limits, securityHeaders, onAnswered, onFault } = options

  const readBody = createBodyReader()

  /** Checks the origin and the limit, reads the body and answers with `answer`, or with the refusal. */
  const receive = async (
    incoming: IncomingMessage,
    limited: Limited | undefined,
    answer: (peer: Peer, body: Body) => Promise<Response>,
  ): Promise<Response> => {
    const peer = options.readPeer(incoming)
    if (!SAFE_METHODS.has(incoming.method ?? 'GET') && !options.isOriginAllowed(incoming.headers, peer.origin)) {
      return problemResponse(403, 'origin-refused', 'Pages of this origin may not vote or change polls here.')
    }
    const refusal = limited && (await limits.refusal(limited, peer.address))
    if (refusal !== undefined) return refusal
    // the reading fails only when the sender has gone, who gets no answer then, so any answer will do
    const received = await readBody(incoming).catch(() => undefined)
    if (received === undefined) return problemResponse(400, 'bad-request', 'The body has no end.')
    try {
      return received.body instanceof Response ? received.body : await answer(peer, received.body)
    } finally {
      received.release()
    }
  }

  /**
   * Passes on an answer, unless it makes its client a new voter and the address has as many as it gets: then a vote, which was not cast
   * for want of a cookie, is refused, and who reads stays as they are.
   */
  const limitVoters = async ({ address }: Peer, answer: Response): Promise<Response> => {
    const refusal = answer.headers.get('set-cookie') === null ? undefined : await limits.refusal('voters', address)
    if (refusal === undefined) return answer
    if (answer.status !== 401) {
      answer.headers.delete('set-cookie')
      return answer
    }
    await answer.body?.cancel()
    return refusal
  }

  const cast = async (
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    requestId: string,
    peer: Peer,
    sent: Body,
  ): Promise<Response> => {
    const isSecure = peer.origin.startsWith('https:')
    const cookie = voterCookieIn(incoming.headers.cookie, isSecure)
    const { 'livetally-ticket': ticket } = incoming.headers
    if (ticket !== undefined && ticket.length > MAX_TICKET_LENGTH) {
      return problemResponse(400, 'bad-request', `The header Livetally-Ticket may have ${MAX_TICKET_LENGTH} characters at most.`)
    }
    const vote: BundledVote = {
      poll: slugOf(incoming.url) ?? '',
      body: sent.toString(),
      ...(cookie === undefined ? {} : { cookie }),
      ...(ticket === undefined ? {} : { ticket: String(ticket) }),
      isSecure,
      requestId,
    }
    const { status, headers, body } = await options.castVote(vote, () => !outgoing.destroyed)
    const answer = new Response(body, { status, headers: { ...headers, 'x-request-id': requestId } })
    return status === 401 ? await limitVoters(peer, answer) : answer
  }

  return {
    async castVote(incoming, outgoing) {
      const startedAt = performance.now()
      const { url: path = '', headers } = incoming
      const request = { requestId: requestIdFrom(headers['x-request-id']), method: 'PUT', path }
      let response: Response
      try {
        response = await receive(
          incoming,
          'votes',
          async (peer, body) => await cast(incoming, outgoing, request.requestId, peer, body),
        )
      } catch (error) {
        response = onFault(request, error)
      }
      // set only now, so that the garbage collector does not copy them with every vote that waits (docs/adr/0008)
      for (const [name, value] of await securityHeaders.closedHeaders) outgoing.setHeader(name, value)
      securityHeaders.shareBallot(response, headers.origin)
      onAnswered(request, response.status, (performance.now() - startedAt) / 1_000)
      return response
    },
    async passOn(incoming, target, requestId) {
      const { method = 'GET' } = incoming
      const isRead = READS.has(method)
      const limited = method === 'PUT' ? 'votes' : isRead && isSlowRead(target) ? 'histories' : undefined
      return await receive(incoming, limited, async (peer, body) => {
        const answer = await options.fetch({
          // The web's Request, which the API may be given in this process, cannot have TRACE. The API takes OPTIONS nowhere either, and
          // refuses both with the same list of methods.
          method: method === 'TRACE' ? 'OPTIONS' : method,
          target,
          headers: headersFor(incoming, peer, requestId),
          // nor can it have a body with a request to read, where a body means nothing (RFC 9110 §9.3.1)
          ...(isRead ? {} : { body }),
          isAwaited: () => !incoming.socket.destroyed,
        })
        return isRead || answer.status === 401 ? await limitVoters(peer, answer) : answer
      })
    },
  }
}

function slugOf(url: string | undefined): string | undefined {
  const slug = VOTE_TARGET.exec(url ?? '')?.[1]
  return slug === undefined || slug.length > MAX_SLUG_LENGTH ? undefined : slug
}

function isJson(type: string | undefined): boolean {
  return type === 'application/json' || type?.split(';', 1)[0]?.trim().toLowerCase() === 'application/json'
}

/** The voter cookie alone: the others are nobody's business, and votes that share a bundle share its size. */
function voterCookieIn(header: string | undefined, isSecure: boolean): string | undefined {
  const name = voterCookieName(isSecure)
  const value = header === undefined ? undefined : parse(header, name)[name]
  // one that is too long is none of ours, nor is what is left of it
  return value === undefined ? undefined : `${name}=${encodeURIComponent(value.slice(0, MAX_COOKIE_LENGTH).toWellFormed())}`
}

function requestIdFrom(given: string | string[] | undefined): string {
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : crypto.randomUUID()
}

/** The request's headers to pass on. What this edge knows of the sender replaces what the sender says of itself. */
function headersFor(incoming: IncomingMessage, peer: Peer, requestId: string): Record<string, string> {
  const headers = endToEndHeaders(incoming.headers, SENT_ANEW)
  const [scheme = '', host = ''] = peer.origin.split('://')
  headers['x-forwarded-for'] = peer.address
  headers['x-forwarded-proto'] = scheme
  headers['x-forwarded-host'] = host
  headers['x-request-id'] = requestId
  return headers
}
