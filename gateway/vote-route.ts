/**
 * A vote's way through the edge, without the context, the middleware and the promises of the other routes: those are a fifth of
 * what a vote costs here. It does for a vote what they do, and in the same order (vote-route.test.ts compares the two).
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Embedding } from './embedding.ts'

export interface VoteRouteOptions {
  /** Judges the request, passes it on to the API and resolves to the answer. */
  readonly passOn: (incoming: IncomingMessage, target: string, requestId: string) => Promise<Response>
  readonly embedding: Pick<Embedding, 'closedHeaders' | 'letVote'>
  /** Called with each answered request. */
  readonly onAnswered: (request: AnsweredRequest, status: number, seconds: number) => void
  /** The answer after a fault of our own. */
  readonly onFault: (request: AnsweredRequest, error: unknown) => Response
}

/** What logs and figures say of a request. */
export interface AnsweredRequest {
  readonly requestId: string
  readonly method: string
  readonly path: string
}

/** As every client of ours writes it; an address that would have to be decoded first goes the common way. */
const VOTE_TARGET = /^\/api\/polls\/[a-z0-9-]+\/vote$/
/** What Hono's `requestId` takes from a client. */
const REQUEST_ID = /^[\w\-=]{1,255}$/

export function isVote({ method, url }: IncomingMessage): boolean {
  return method === 'PUT' && VOTE_TARGET.test(url ?? '')
}

/** Answers requests that are votes. */
export function createVoteRoute({ passOn, embedding, onAnswered, onFault }: VoteRouteOptions) {
  return async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<Response> => {
    const startedAt = performance.now()
    const { url: path = '', headers } = incoming
    const request = { requestId: requestIdFrom(headers['x-request-id']), method: 'PUT', path }
    let response: Response
    try {
      response = await passOn(incoming, path, request.requestId)
    } catch (error) {
      response = onFault(request, error)
    }
    // not before: a thousand waiting votes would hold them for the garbage collector to copy, a fourteenth of a vote's CPU here
    for (const [name, value] of await embedding.closedHeaders) outgoing.setHeader(name, value)
    embedding.letVote(response, headers.origin)
    onAnswered(request, response.status, (performance.now() - startedAt) / 1_000)
    return response
  }
}

function requestIdFrom(given: string | string[] | undefined): string {
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : crypto.randomUUID()
}
