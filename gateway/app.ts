/** The edge over HTTP: probes, sockets, pages, and `/api` on its way to a backend. */
import type { IncomingMessage } from 'node:http'
import type { HttpBindings } from '@hono/node-server'
import { Hono, type Context } from 'hono'
import { requestId } from 'hono/request-id'
import type { Probes } from '../shared/lifecycle/probes.ts'
import { PollId } from '../shared/protocol/frames.ts'
import { problemResponse } from '../shared/protocol/problem.ts'
import type { Log } from '../shared/telemetry/log.ts'
import type { Api } from './api.ts'
import type { Peer, PeerRequest } from './client-address.ts'
import type { EdgeEnv } from './edge-env.ts'
import { createEmbedding } from './embedding.ts'
import type { RequestOrigin } from './origin.ts'
import { pageResponse, type Pages } from './pages.ts'
import { passedHeaders } from './passed-headers.ts'
import { qrCodeSvg } from './qr-code.ts'
import { readBody } from './read-body.ts'
import { type AnsweredRequest, createVoteRoute, isVote } from './vote-route.ts'

export interface AppOptions {
  readonly probes: Probes
  readonly api: Api
  readonly pages: Pages
  readonly readPeer: (request: PeerRequest) => Peer
  readonly isOriginAllowed: (request: RequestOrigin) => boolean
  /** Origins whose pages may embed polls. */
  readonly allowedOrigins: readonly string[]
  readonly log: Log
  /** Called with each answered request. */
  readonly onAnswered?: (method: string, status: number, seconds: number) => void
}

const MAX_BODY_BYTES = 65_536
/** What another site may show in a frame: a poll's results, also as an overlay. */
const FRAMED_PATH = /^\/p\/[^/]+\/results$/
/** What it may load as a script or a picture. */
const LOADABLE_PATH = /^\/assets\/|^\/p\/[^/]+\/qr\.svg$/
const SAFE_METHODS = new Set(['GET', 'HEAD', 'OPTIONS'])
/** What a proxy, or a client who would like to be taken for one, may have put into a request; and what is different from here on. */
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

export function createApp(options: AppOptions): Pick<Hono<EdgeEnv>, 'fetch'> {
  const { probes, pages, log } = options
  const onAnswered = (request: AnsweredRequest, status: number, seconds: number) => {
    options.onAnswered?.(request.method, status, seconds)
    log.debug({ ...request, status, seconds }, 'answered')
  }
  const onFault = (request: AnsweredRequest, error: unknown) => {
    log.error({ ...request, err: error }, 'a request failed')
    return problemResponse(500, 'internal', 'The fault is logged here under the request id.', {
      'x-request-id': request.requestId,
    })
  }
  const app = new Hono<EdgeEnv>()

  app.get('/live', (c) => answer(c, probes.live()))
  app.get('/ready', (c) => answer(c, probes.ready()))
  app.get('/health', (c) => answer(c, probes.health()))

  app.use(requestId())
  // upgrades never come this far: the server hands them to upgrade.ts
  app.get('/ws', () =>
    problemResponse(426, 'bad-request', 'This address speaks WebSocket only.', { upgrade: 'websocket', connection: 'upgrade' }),
  )

  app.use(async (c, next) => {
    const startedAt = performance.now()
    await next()
    onAnswered(requestOf(c), c.res.status, (performance.now() - startedAt) / 1_000)
  })
  const embedding = createEmbedding(options.allowedOrigins)
  const { closed, loadable, framed, readable, votable } = embedding
  app.use((c, next) => {
    const headers = FRAMED_PATH.test(c.req.path) ? framed : LOADABLE_PATH.test(c.req.path) ? loadable : closed
    return headers(c, next)
  })
  for (const path of ['/assets/*', '/p/:poll/qr.svg']) app.get(path, readable)
  for (const path of ['/api/polls', '/api/polls/:poll/history']) app.get(path, readable)
  for (const path of ['/api/polls/:poll', '/api/polls/:poll/vote']) app.on(['GET', 'PUT', 'OPTIONS'], path, votable)

  const passOn = async (incoming: IncomingMessage, target: string, id: string) => {
    const { method = 'GET' } = incoming
    const peer = options.readPeer(peerRequest(incoming))
    if (!SAFE_METHODS.has(method) && !options.isOriginAllowed(requestOrigin(incoming, peer))) {
      return problemResponse(403, 'origin-refused', 'Pages of this origin may not vote or change polls here.')
    }
    // who left in the middle of it hears no answer, whatever it says
    const body = await readBody(incoming, MAX_BODY_BYTES).catch(() => undefined)
    if (body === undefined) return problemResponse(413, 'too-large', `A body may have ${MAX_BODY_BYTES} bytes at most.`)
    return await options.api({ method, target, headers: headersForApi(incoming, peer, id), body })
  }
  const toApi = async (c: Context<EdgeEnv>) => {
    const { pathname, search } = new URL(c.req.url)
    return await passOn(c.env.incoming, pathname + search, c.var.requestId)
  }
  app.all('/api/*', toApi)
  app.get('/openapi.json', toApi)

  const serve = (path: string) => (c: Context<EdgeEnv>) => {
    const page = pages.get(path)
    return page === undefined ? notFound(c) : pageResponse(page, c.req.header())
  }
  app.get('/', serve('/assets/pages/index.html'))
  app.get('/admin', serve('/assets/pages/admin.html'))
  app.get('/docs', serve('/assets/pages/docs.html'))
  app.get('/asyncapi.yaml', serve('/assets/pages/asyncapi.yaml'))
  app.get('/p/:poll', serve('/assets/pages/vote.html'))
  app.get('/p/:poll/results', serve('/assets/pages/results.html'))
  app.get('/p/:poll/qr.svg', (c) => {
    const poll = PollId.safeParse(c.req.param('poll'))
    if (!poll.success) return notFound(c)
    const { origin } = options.readPeer(peerRequest(c.env.incoming))
    return c.body(qrCodeSvg(`${origin}/p/${poll.data}`), 200, { 'content-type': 'image/svg+xml', 'cache-control': 'no-cache' })
  })
  app.get('/assets/*', (c) => serve(c.req.path)(c))

  app.notFound((c) => notFound(c))
  app.onError((error, c) => onFault(requestOf(c), error))

  const castVote = createVoteRoute({ passOn, embedding, onAnswered, onFault })
  return {
    fetch: (request, env) => {
      const { incoming, outgoing } = env as HttpBindings
      return isVote(incoming) ? castVote(incoming, outgoing) : app.fetch(request, env)
    },
  }
}

function requestOf(c: Context<EdgeEnv>): AnsweredRequest {
  return { requestId: c.var.requestId ?? '', method: c.req.method, path: c.req.path }
}

/** The request's headers with what this edge knows of its sender, and nothing the sender says of that itself. */
function headersForApi(incoming: IncomingMessage, peer: Peer, id: string): Record<string, string> {
  const headers = passedHeaders(incoming.headers, SENT_ANEW)
  const [scheme = '', host = ''] = peer.origin.split('://')
  headers['x-forwarded-for'] = peer.address
  headers['x-forwarded-proto'] = scheme
  headers['x-forwarded-host'] = host
  headers['x-request-id'] = id
  return headers
}

function answer(c: Context, { status, body }: ReturnType<Probes['live']>): Response {
  return c.json(body, status, { 'cache-control': 'no-store' })
}

function notFound(c: Context): Response {
  return problemResponse(404, 'not-found', `Nothing is served at ${c.req.path.slice(0, 200)}.`)
}

/** What the reader of addresses needs of a request. */
export function peerRequest(request: IncomingMessage): PeerRequest {
  return {
    remoteAddress: request.socket.remoteAddress ?? '',
    header(name) {
      const value = request.headers[name]
      return typeof value === 'object' ? value.join(', ') : value
    },
  }
}

/** What the check of origins needs of it. */
export function requestOrigin(request: IncomingMessage, peer: Peer): RequestOrigin {
  const { header } = peerRequest(request)
  return { origin: header('origin'), fetchSite: header('sec-fetch-site'), self: peer.origin }
}
