/** The edge over HTTP: probes, pages, and `/api` on its way to a backend. */
import type { HttpBindings } from '@hono/node-server'
import { Hono, type Context } from 'hono'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { requestId } from 'hono/request-id'
import type { Probes } from '../../shared/lifecycle/probes.ts'
import { createTurns } from '../../shared/lifecycle/turns.ts'
import { PollSlug } from '../../shared/protocol/frames.ts'
import { problemResponse, wrongMethod } from '../../shared/protocol/problem.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import type { OriginCheck } from '../access/allowed-origins.ts'
import type { PeerReader } from '../access/client-address.ts'
import { hasOneHost } from '../access/host-header.ts'
import type { RequestLimits } from '../access/request-limits.ts'
import type { Api } from '../api/api.ts'
import { type AnsweredRequest, type CastVote, createApiRoute, isVote } from './api-route.ts'
import { qrCodeSvg } from './qr-code.ts'
import { createSecurityHeaders, type EdgeEnv } from './security-headers.ts'
import { pageResponse, type Pages } from './static-pages.ts'

export interface AppOptions {
  readonly probes: Probes
  readonly fetch: Api['fetch']
  readonly castVote: CastVote
  readonly pages: Pages
  readonly readPeer: PeerReader
  readonly isOriginAllowed: OriginCheck
  readonly limits: RequestLimits
  /** Origins whose pages may embed polls. */
  readonly allowedOrigins: readonly string[]
  readonly log: Log
  /** Called with each answered request. */
  readonly onAnswered?: (method: string, status: number, seconds: number) => void
}

/** How many requests to read begin in one turn of the event loop, so that votes and tallies go on. */
const READS_PER_TURN = 2
const READS = new Set(['GET', 'HEAD'])

/** What another site may show in a frame: a poll's results, also as an overlay. */
const FRAMED_PATH = /^\/p\/[^/]+\/results$/
/** What it may load as a script or a picture. */
const LOADABLE_PATH = /^\/assets\/|^\/p\/[^/]+\/qr\.svg$/

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

  const turn = createTurns(READS_PER_TURN)
  app.use(async (c, next) => {
    if (READS.has(c.req.method)) await turn()
    await next()
  })
  app.use(requestId())
  // no upgrade to WebSocket reaches this route: the server's `upgrade` event goes to upgrade.ts
  app.get('/ws', () =>
    problemResponse(426, 'bad-request', 'This address speaks WebSocket only.', {
      upgrade: 'websocket',
      connection: 'upgrade, close',
    }),
  )

  app.use(async (c, next) => {
    const startedAt = performance.now()
    await next()
    onAnswered(requestOf(c), c.res.status, (performance.now() - startedAt) / 1_000)
  })
  const securityHeaders = createSecurityHeaders(options.allowedOrigins)
  const { closed, loadable, framed, readable, votable } = securityHeaders
  app.use((c, next) => {
    const headers = FRAMED_PATH.test(c.req.path) ? framed : LOADABLE_PATH.test(c.req.path) ? loadable : closed
    return headers(c, next)
  })
  const refuseWrongMethod = methodNotAllowed({ app, onMethodNotAllowed: (_, methods) => wrongMethod(methods) })
  // the backend says which methods the API takes where
  app.use((c, next) => (c.req.path.startsWith('/api/') ? next() : refuseWrongMethod(c, next)))
  for (const path of ['/assets/*', '/p/:poll/qr.svg']) app.get(path, readable)
  for (const path of ['/api/polls', '/api/polls/:poll/history']) app.get(path, readable)
  for (const path of ['/api/polls/:poll', '/api/polls/:poll/vote']) app.on(['GET', 'PUT', 'OPTIONS'], path, votable)

  const { castVote, passOn } = createApiRoute({ ...options, securityHeaders, onAnswered, onFault })
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
    const slug = PollSlug.safeParse(c.req.param('poll'))
    if (!slug.success) return notFound(c)
    const { origin } = options.readPeer(c.env.incoming)
    return c.body(qrCodeSvg(`${origin}/p/${slug.data}`), 200, { 'content-type': 'image/svg+xml', 'cache-control': 'no-cache' })
  })
  app.get('/assets/*', (c) => serve(c.req.path)(c))

  app.notFound((c) => notFound(c))
  app.onError((error, c) => onFault(requestOf(c), error))

  return {
    fetch: (request, env) => {
      const { incoming, outgoing } = env as HttpBindings
      if (!hasOneHost(incoming)) return wrongHost()
      return isVote(incoming) ? castVote(incoming, outgoing) : app.fetch(request, env)
    },
  }
}

function wrongHost(): Response {
  // a proxy in front may have read the request as one for another host, so nothing more is read from its connection
  return problemResponse(400, 'bad-request', 'Name the host once, in a Host header (RFC 9112).', { connection: 'close' })
}

function requestOf(c: Context<EdgeEnv>): AnsweredRequest {
  return { requestId: c.var.requestId ?? '', method: c.req.method, path: c.req.path }
}

function answer(c: Context, { status, body }: ReturnType<Probes['live']>): Response {
  return c.json(body, status, { 'cache-control': 'no-store' })
}

function notFound(c: Context): Response {
  // who wants to speak another protocol has no further request for this connection
  const headers: Record<string, string> = c.req.header('upgrade') === undefined ? {} : { connection: 'close' }
  return problemResponse(404, 'not-found', `Nothing is served at ${c.req.path.slice(0, 200)}.`, headers)
}
