/** The API over HTTP: polls, ballots, probes. Requests are checked by the routes' schemas, which are served as OpenAPI 3.1. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context, MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { requestId } from 'hono/request-id'
import type { Probes } from '../../shared/lifecycle/probes.ts'
import { createTurns } from '../../shared/lifecycle/turns.ts'
import { problemResponse, wrongMethod } from '../../shared/protocol/problem.ts'
import { MAX_BUNDLE_BYTES, VOTE_BUNDLE_PATH, VoteBundle } from '../../shared/protocol/vote-bundle.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import type { BallotBox } from '../ballots/ballot-box.ts'
import { isMatched, type SharedJson } from './entity-tag.ts'
import { answerToError } from './error-handler.ts'
import { mountAdminApi, type AdminApiOptions } from './admin-api.ts'
import type { PollStore } from '../polls/poll-store.ts'
import { describeApi } from './openapi-document.ts'
import { badBody, unknownPoll } from './problems.ts'
import { listPolls, readBallot, readHistory, readPoll, vote } from './routes.ts'
import type { PollViews } from './poll-view.ts'
import type { TicketStore } from '../polls/ticket-store.ts'
import type { VoterCookie } from './voter-cookie.ts'
import type { VoteCaster } from './cast-vote.ts'

export interface AppOptions {
  readonly probes: Probes
  readonly polls: PollStore
  readonly views: PollViews
  readonly ballotBox: BallotBox
  readonly votes: VoteCaster
  readonly tickets: TicketStore
  readonly voters: VoterCookie
  readonly exportCsv: AdminApiOptions['exportCsv']
  readonly createAdopted: AdminApiOptions['createAdopted']
  readonly gateways: AdminApiOptions['gateways']
  readonly adminTokens: readonly string[]
  readonly log: Log
}

const MAX_BODY_BYTES = 65_536
const READS = new Set(['GET', 'HEAD'])
/** How many requests to read are taken in one turn of the event loop, and how many are answered, so that votes and tallies go on. */
const READS_PER_TURN = 2

export function createApp(options: AppOptions) {
  const { probes, views, ballotBox, votes, log } = options
  const app = new OpenAPIHono<{ Variables: { requestId: string } }>({
    defaultHook: (result) => (result.success ? undefined : badBody(result.error.issues)),
  })

  app.get('/live', (c) => answer(c, probes.live()))
  app.get('/ready', (c) => answer(c, probes.ready()))
  app.get('/health', (c) => answer(c, probes.health()))

  const [mayRead, mayAnswer] = [createTurns(READS_PER_TURN), createTurns(READS_PER_TURN)]
  app.use('/api/*', async (c, next) => {
    if (READS.has(c.req.method)) await mayRead()
    await next()
  })
  app.use(requestId())
  app.use(methodNotAllowed({ app, onMethodNotAllowed: (_, methods) => wrongMethod(methods) }))
  app.put(VOTE_BUNDLE_PATH, limitBody(MAX_BUNDLE_BYTES), async (c) => {
    const bundle = VoteBundle.safeParse(await c.req.json().catch(() => undefined))
    return bundle.success ? c.json(await votes.castAll(bundle.data, isAwaited(c))) : badBody(bundle.error.issues)
  })
  app.use(limitBody(MAX_BODY_BYTES))
  app.use('/api/*', async (c, next) => {
    const type = c.req.header('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
    if (hasBody(c) && type !== 'application/json') {
      return problemResponse(
        415,
        'unsupported-media-type',
        `Send application/json${type === undefined ? '' : `, not ${type.slice(0, 100)}`}.`,
      )
    }
    await next()
    return undefined
  })
  app.openapi(listPolls, async (c) => {
    const list = await views.list()
    await mayAnswer()
    return answerShared(c, list, 'no-cache')
  })

  app.openapi(readPoll, async (c) => {
    const { poll: slug } = c.req.valid('param')
    const ticket = c.req.valid('header')['livetally-ticket']
    const outcome = await votes.identify(slug, { ...credentials(c), ticket })
    const ballot = outcome.kind === 'known' ? await ballotBox.ballotOf(slug, outcome.voter) : undefined
    const view = await views.read(slug, ballot)
    await mayAnswer()
    if (view === undefined) throw unknownPoll(slug)
    setVoterCookie(c, outcome)
    const { epoch, version } = view.tally
    // a weak validator, since a proxy may change the encoding of the same view
    const etag = `W/"${epoch}.${version}.${encodeURIComponent(ballot?.option ?? '')}.${ballot?.order ?? ''}"`
    c.header('etag', etag)
    c.header('cache-control', 'private, no-cache')
    c.header('vary', 'cookie, livetally-ticket')
    if (isMatched(c.req.header('if-none-match'), etag)) return c.body(null, 304)
    return c.json(view, 200)
  })

  app.openapi(readBallot, async (c) => {
    const { poll: slug } = c.req.valid('param')
    const ticket = c.req.valid('header')['livetally-ticket']
    const outcome = await votes.identify(slug, { ...credentials(c), ticket })
    const ballot = outcome.kind === 'known' ? await ballotBox.ballotOf(slug, outcome.voter) : undefined
    const isUnknown = ballot === undefined && (await views.read(slug)) === undefined
    await mayAnswer()
    if (isUnknown) throw unknownPoll(slug)
    setVoterCookie(c, outcome)
    c.header('cache-control', 'no-store')
    return c.json({ poll: slug, ballot: ballot ?? null }, 200)
  })

  app.openapi(vote, async (c) => {
    const { poll: slug } = c.req.valid('param')
    const ticket = c.req.valid('header')['livetally-ticket']
    const cast = await votes.cast({ slug, ...c.req.valid('json'), ...credentials(c), ticket, isAwaited: isAwaited(c) })
    if (cast.renewal !== undefined) c.header('set-cookie', cast.renewal)
    return c.json(cast.receipt, 200)
  })

  app.openapi(readHistory, async (c) => {
    const { poll: slug } = c.req.valid('param')
    const history = await views.history(slug, c.req.valid('query').step)
    await mayAnswer()
    if (history === undefined) throw unknownPoll(slug)
    return answerShared(c, history, 'no-cache')
  })

  mountAdminApi(app, options)

  let description: object | undefined
  app.get('/openapi.json', (c) => c.json((description ??= describeApi(app))))

  /** Gives the browser a voter cookie if it has none, or none that is signed with the present secret. */
  function setVoterCookie(c: Context, outcome: Awaited<ReturnType<VoteCaster['identify']>>) {
    if (outcome.kind === 'no-ticket') return
    const cookie = outcome.kind === 'known' ? outcome.renewal : options.voters.issue(isSecure(c))
    if (cookie !== undefined) c.header('set-cookie', cookie)
  }

  app.notFound((c) => problemResponse(404, 'not-found', `Nothing is served at ${c.req.path.slice(0, 200)}.`))
  app.onError((error, c) => answerToError(error, log, { requestId: c.var.requestId, method: c.req.method, path: c.req.path }))
  return app
}

/** Answers with what is the same for everyone, or with 304 when the client has it. */
function answerShared<T>(c: Context, { text, etag }: SharedJson<T>, cacheControl: string) {
  c.header('etag', etag)
  c.header('cache-control', cacheControl)
  if (isMatched(c.req.header('if-none-match'), etag)) return c.body(null, 304)
  c.header('content-type', 'application/json')
  // `c.json` would write it once more for each client; the type says what the text is, which only `c.json` could infer
  return c.body(text, 200) as unknown as ReturnType<typeof c.json<T, 200>>
}

/** What identifies the sender of a request, a ticket aside. */
function credentials(c: Context) {
  return { cookie: c.req.header('cookie'), isSecure: isSecure(c) }
}

/** Whether the sender of a request is still there to be answered. */
function isAwaited(c: Context): () => boolean {
  return () => !c.req.raw.signal.aborted
}

/** Whether the browser came to the edge over TLS. */
function isSecure(c: Context): boolean {
  return c.req.header('x-forwarded-proto') === 'https'
}

function limitBody(maxBytes: number): MiddlewareHandler {
  const tooLarge = () => problemResponse(413, 'too-large', `A body may have ${maxBytes} bytes at most.`)
  const limitWhileReading = bodyLimit({ maxSize: maxBytes, onError: tooLarge })
  return async (c, next) => {
    // without a length the body is read to find its size, for which the server has to build a Request
    if (c.req.header('transfer-encoding') !== undefined) return await limitWhileReading(c, next)
    return Number(c.req.header('content-length') ?? 0) > maxBytes ? tooLarge() : await next()
  }
}

/** Whether a request has a body, by its headers (RFC 9112 §6.3): the request object has a stream either way. */
function hasBody(c: Context): boolean {
  return c.req.header('transfer-encoding') !== undefined || Number(c.req.header('content-length') ?? 0) > 0
}

function answer(c: Context, { status, body }: ReturnType<Probes['live']>) {
  return c.json(body, status, { 'cache-control': 'no-store' })
}
