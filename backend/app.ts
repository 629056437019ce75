/** The API over HTTP: polls, ballots, probes. Declared once, checked by the declaration, served as OpenAPI 3.1. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { HTTPException } from 'hono/http-exception'
import { requestId } from 'hono/request-id'
import type { Probes } from '../shared/lifecycle/probes.ts'
import { problemResponse } from '../shared/protocol/problem.ts'
import type { Log } from '../shared/telemetry/log.ts'
import { type BallotBox, type CastOutcome, VoteUnconfirmed } from './ballot-box.ts'
import { DatabaseUnavailable, isTransient } from './db-faults.ts'
import type { HistoryPoint } from './history.ts'
import { mountOrganiser, type OrganiserOptions } from './organiser.ts'
import type { PollStore } from './poll-store.ts'
import { asProblem, badBody, Refused, refusedInContext, unknownPoll, voteRefused } from './refusals.ts'
import { listPolls, readHistory, readPoll, vote } from './routes.ts'
import { createStandings } from './standings.ts'
import type { TallyStore } from './tally-store.ts'
import { ticketVoter, type TicketStore } from './ticket-store.ts'
import type { VoterCookie, VoterOutcome } from './voter.ts'

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

export function createApp(options: AppOptions) {
  const { probes, tallies, tickets, ballotBox, voters, log } = options
  const standings = createStandings(options)
  const app = new OpenAPIHono<{ Variables: { requestId: string } }>({
    defaultHook: (result) => (result.success ? undefined : badBody(result.error.issues)),
  })

  app.get('/live', (c) => answer(c, probes.live()))
  app.get('/ready', (c) => answer(c, probes.ready()))
  app.get('/health', (c) => answer(c, probes.health()))

  app.use(requestId())
  const tooLarge = () => problemResponse(413, 'too-large', `A body may have ${MAX_BODY_BYTES} bytes at most.`)
  const limitWhileReading = bodyLimit({ maxSize: MAX_BODY_BYTES, onError: tooLarge })
  app.use(async (c, next) => {
    // only without a length does one have to read to find out, which takes a whole Request of the web's
    if (c.req.header('transfer-encoding') !== undefined) return await limitWhileReading(c, next)
    return Number(c.req.header('content-length') ?? 0) > MAX_BODY_BYTES ? tooLarge() : await next()
  })
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
    const outcome = await identify(c, poll, ticket)
    const ballot = outcome.kind === 'known' ? await ballotBox.ballotOf(poll, outcome.voter) : undefined
    const standing = await standings.read(poll, ballot?.option)
    if (standing === undefined) throw unknownPoll(poll)
    if (outcome.kind !== 'known' && ticket === undefined) voters.issue(c)
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
    const outcome = await identify(c, poll, c.req.valid('header')['livetally-ticket'])
    if (outcome.kind === 'no-ticket') throw voteRefused({ kind: 'no-ticket' }, poll, option)
    if (outcome.kind !== 'known') {
      voters.issue(c)
      throw outcome.kind === 'none'
        ? refusedInContext(c, 401, 'no-voter', 'This response sets the voter cookie: repeat the request with it.')
        : refusedInContext(
            c,
            401,
            'forged-voter',
            'The voter cookie was not signed here. This response sets a good one: repeat the request with it.',
          )
    }
    const cast = await ballotBox.cast({ poll, voter: outcome.voter, option })
    options.onVote?.(cast.kind)
    if (cast.kind !== 'accepted') throw voteRefused(cast, poll, option)
    return c.json({ poll, option }, 200)
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
  app.onError((error, c) => {
    if (error instanceof Refused) return error.response
    if (error instanceof HTTPException) return asProblem(error)
    const context = { requestId: c.var.requestId, method: c.req.method, path: c.req.path, err: error }
    if (error instanceof VoteUnconfirmed) {
      log.warn(context, 'a vote could not be confirmed')
      return problemResponse(503, 'unconfirmed', 'Whether the vote was counted is not known. Repeat it: it counts once.', {
        'retry-after': '1',
      })
    }
    if (error instanceof DatabaseUnavailable || isTransient(error)) {
      log.warn(context, 'the database did not answer a request')
      return problemResponse(503, 'unavailable', 'The database does not answer. Try again in a moment.', { 'retry-after': '1' })
    }
    log.error(context, 'a request failed')
    return problemResponse(500, 'internal', 'The fault is logged here under the request id.', {
      'x-request-id': c.var.requestId ?? '',
    })
  })
  return app

  /** Who votes: whoever has the ticket, or else the browser that has the cookie. */
  async function identify(
    c: Context,
    poll: string,
    ticket: string | undefined,
  ): Promise<VoterOutcome | { readonly kind: 'no-ticket' }> {
    if (ticket === undefined) return voters.read(c)
    // a made-up ticket must not become a voter, whatever the poll's policy
    return (await tickets.isGood(poll, ticket)) ? { kind: 'known', voter: ticketVoter(poll, ticket) } : { kind: 'no-ticket' }
  }
}

/** By its headers (RFC 9112 §6.3): a request object has a stream either way. */
function hasBody(c: Context): boolean {
  return c.req.header('transfer-encoding') !== undefined || Number(c.req.header('content-length') ?? 0) > 0
}

function answer(c: Context, { status, body }: ReturnType<Probes['live']>) {
  return c.json(body, status, { 'cache-control': 'no-store' })
}
