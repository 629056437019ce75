/** The API over HTTP: polls, ballots, probes. Declared once, checked by the declaration, served as OpenAPI 3.1. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context, MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { requestId } from 'hono/request-id'
import type { Probes } from '../shared/lifecycle/probes.ts'
import { problemResponse } from '../shared/protocol/problem.ts'
import { VOTE_BUNDLE_PATH } from '../shared/protocol/vote-bundle.ts'
import type { Log } from '../shared/telemetry/log.ts'
import type { BallotBox, CastOutcome } from './ballot-box.ts'
import { takeBundle } from './bundle-route.ts'
import { answerToFault } from './faults.ts'
import type { HistoryPoint } from './history.ts'
import { mountOrganiser, type OrganiserOptions } from './organiser.ts'
import type { PollStore } from './poll-store.ts'
import { badBody, unknownPoll } from './refusals.ts'
import { listPolls, readHistory, readPoll, vote } from './routes.ts'
import { createStandings } from './standings.ts'
import type { TallyStore } from './tally-store.ts'
import type { TicketStore } from './ticket-store.ts'
import type { VoterCookie } from './voter.ts'
import { createVoting } from './voting.ts'

export interface AppOptions {
  readonly probes: Probes
  readonly polls: PollStore
  readonly tallies: TallyStore
  readonly ballotBox: BallotBox
  readonly tickets: TicketStore
  readonly voters: VoterCookie
  /** Points of a poll's history, one for each step of so many seconds; undefined if there is no such poll. */
  readonly history: (poll: string, stepSeconds: number) => Promise<HistoryPoint[] | undefined>
  readonly exportCsv: OrganiserOptions['exportCsv']
  readonly createAdopted: OrganiserOptions['createAdopted']
  readonly forget: OrganiserOptions['forget']
  readonly gateways: OrganiserOptions['gateways']
  readonly adminToken: string
  readonly log: Log
  /** Called with how each vote ended. */
  readonly onVote?: (outcome: CastOutcome['kind']) => void
}

const MAX_BODY_BYTES = 65_536
/** As many votes as come together, with their cookies. */
const MAX_BUNDLE_BYTES = 4_194_304

export function createApp(options: AppOptions) {
  const { probes, tallies, ballotBox, log } = options
  const voting = createVoting(options)
  const standings = createStandings(options)
  const app = new OpenAPIHono<{ Variables: { requestId: string } }>({
    defaultHook: (result) => (result.success ? undefined : badBody(result.error.issues)),
  })

  app.get('/live', (c) => answer(c, probes.live()))
  app.get('/ready', (c) => answer(c, probes.ready()))
  app.get('/health', (c) => answer(c, probes.health()))

  app.use(requestId())
  app.put(VOTE_BUNDLE_PATH, limitBody(MAX_BUNDLE_BYTES), takeBundle(voting, log))
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
    const snapshots = await tallies.readAll()
    return c.json({ polls: snapshots.map(({ poll, tally }) => ({ ...poll, total: tally.total })) }, 200, {
      'cache-control': 'no-cache',
    })
  })

  app.openapi(readPoll, async (c) => {
    const { poll } = c.req.valid('param')
    const ticket = c.req.valid('header')['livetally-ticket']
    const outcome = await voting.identify(poll, { ...credentials(c), ticket })
    const ballot = outcome.kind === 'known' ? await ballotBox.ballotOf(poll, outcome.voter) : undefined
    const standing = await standings.read(poll, ballot?.option)
    if (standing === undefined) throw unknownPoll(poll)
    if (outcome.kind !== 'known' && ticket === undefined) c.header('set-cookie', options.voters.issue(isSecure(c)))
    const { epoch, version } = standing.tally
    // a weak validator: the same standing, whatever a proxy does to its encoding
    const etag = `W/"${epoch}.${version}.${encodeURIComponent(ballot?.option ?? '')}"`
    c.header('etag', etag)
    c.header('cache-control', 'private, no-cache')
    c.header('vary', 'cookie, livetally-ticket')
    if (c.req.header('if-none-match') === etag) return c.body(null, 304)
    return c.json(standing, 200)
  })

  app.openapi(vote, async (c) => {
    const { poll } = c.req.valid('param')
    const { option } = c.req.valid('json')
    const ticket = c.req.valid('header')['livetally-ticket']
    return c.json(await voting.cast({ poll, option, ...credentials(c), ticket }), 200)
  })

  app.openapi(readHistory, async (c) => {
    const { poll } = c.req.valid('param')
    const { step, seconds } = c.req.valid('query').step
    const points = await options.history(poll, seconds)
    if (points === undefined) throw unknownPoll(poll)
    return c.json({ poll, step, points: points.map(({ at, counts, total }) => ({ at, total, ...(counts && { counts }) })) }, 200)
  })

  mountOrganiser(app, { ...options, standings })

  app.openAPIRegistry.registerComponent('securitySchemes', 'adminToken', { type: 'http', scheme: 'bearer' })
  app.doc31('/openapi.json', {
    openapi: '3.1.0',
    info: { title: 'Livetally', version: '1', description: 'Votes in over HTTP. Tallies come out over the WebSocket at /ws.' },
  })

  app.notFound((c) => problemResponse(404, 'not-found', `Nothing is served at ${c.req.path.slice(0, 200)}.`))
  app.onError((error, c) => answerToFault(error, log, { requestId: c.var.requestId, method: c.req.method, path: c.req.path }))
  return app
}

/** By what the sender of a request is known, a ticket aside. */
function credentials(c: Context) {
  return { cookie: c.req.header('cookie'), isSecure: isSecure(c) }
}

/** Whether the browser came to the edge over TLS. */
function isSecure(c: Context): boolean {
  return c.req.header('x-forwarded-proto') === 'https'
}

function limitBody(maxBytes: number): MiddlewareHandler {
  const tooLarge = () => problemResponse(413, 'too-large', `A body may have ${maxBytes} bytes at most.`)
  const limitWhileReading = bodyLimit({ maxSize: maxBytes, onError: tooLarge })
  return async (c, next) => {
    // only without a length does one have to read to find out, which takes a whole Request of the web's
    if (c.req.header('transfer-encoding') !== undefined) return await limitWhileReading(c, next)
    return Number(c.req.header('content-length') ?? 0) > maxBytes ? tooLarge() : await next()
  }
}

/** By its headers (RFC 9112 §6.3): a request object has a stream either way. */
function hasBody(c: Context): boolean {
  return c.req.header('transfer-encoding') !== undefined || Number(c.req.header('content-length') ?? 0) > 0
}

function answer(c: Context, { status, body }: ReturnType<Probes['live']>) {
  return c.json(body, status, { 'cache-control': 'no-store' })
}
