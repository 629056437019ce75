/** The API over HTTP: polls, ballots, probes. Declared once, checked by the declaration, served as OpenAPI 3.1. */
import { OpenAPIHono } from '@hono/zod-openapi'
import type { Context } from 'hono'
import { bearerAuth } from 'hono/bearer-auth'
import { bodyLimit } from 'hono/body-limit'
import { HTTPException } from 'hono/http-exception'
import { requestId } from 'hono/request-id'
import type { Probes } from '../shared/lifecycle/probes.ts'
import { problemResponse } from '../shared/protocol/problem.ts'
import type { Log } from '../shared/telemetry/log.ts'
import { type BallotBox, type CastOutcome, VoteUnconfirmed } from './ballot-box.ts'
import { DatabaseUnavailable, isTransient } from './db-faults.ts'
import type { PollStore } from './poll-store.ts'
import { asProblem, badBody, Refused, refusedInContext, unknownPoll, voteRefused } from './refusals.ts'
import { createPoll, editPoll, listPolls, readPoll, vote } from './routes.ts'
import type { TallyStore } from './tally-store.ts'
import type { VoterCookie } from './voter.ts'

export interface AppOptions {
  readonly probes: Probes
  readonly polls: PollStore
  readonly tallies: TallyStore
  readonly ballotBox: BallotBox
  readonly voters: VoterCookie
  readonly adminToken: string
  readonly log: Log
  /** Called with how each vote ended. */
  readonly onVote?: (outcome: CastOutcome['kind']) => void
}

const MAX_BODY_BYTES = 65_536
const BODY_METHODS = new Set(['POST', 'PUT', 'PATCH'])

export function createApp(options: AppOptions) {
  const { probes, polls, tallies, ballotBox, voters, log } = options
  const app = new OpenAPIHono<{ Variables: { requestId: string } }>({
    defaultHook: (result) => (result.success ? undefined : badBody(result.error.issues)),
  })

  app.get('/live', (c) => answer(c, probes.live()))
  app.get('/ready', (c) => answer(c, probes.ready()))
  app.get('/health', (c) => answer(c, probes.health()))

  app.use(requestId())
  app.use(
    bodyLimit({
      maxSize: MAX_BODY_BYTES,
      onError: () => problemResponse(413, 'too-large', `A body may have ${MAX_BODY_BYTES} bytes at most.`),
    }),
  )
  app.use('/api/*', async (c, next) => {
    const type = c.req.header('content-type')?.split(';', 1)[0]?.trim().toLowerCase()
    if (BODY_METHODS.has(c.req.method) && type !== 'application/json') {
      return problemResponse(
        415,
        'unsupported-media-type',
        `Send application/json${type === undefined ? '' : `, not ${type.slice(0, 100)}`}.`,
      )
    }
    await next()
    return undefined
  })
  const admin = bearerAuth({ token: options.adminToken })
  app.on('POST', ['/api/polls'], admin)
  app.on('PATCH', ['/api/polls/:poll'], admin)

  app.openapi(listPolls, async (c) => {
    const standings = await tallies.readAll()
    return c.json({ polls: standings.map(({ poll, tally }) => ({ ...poll, total: tally.total })) }, 200, {
      'cache-control': 'no-cache',
    })
  })

  app.openapi(readPoll, async (c) => {
    const { poll } = c.req.valid('param')
    const outcome = await voters.read(c)
    const ballot = outcome.kind === 'known' ? await ballotBox.ballotOf(poll, outcome.voter) : undefined
    const standing = await standingOf(poll, ballot?.option)
    if (standing === undefined) throw unknownPoll(poll)
    if (outcome.kind !== 'known') await voters.issue(c)
    const { epoch, version } = standing.tally
    // a weak validator: the same standing, whatever a proxy does to its encoding
    const etag = `W/"${epoch}.${version}.${encodeURIComponent(ballot?.option ?? '')}"`
    c.header('etag', etag)
    c.header('cache-control', 'private, no-cache')
    c.header('vary', 'cookie')
    if (c.req.header('if-none-match') === etag) return c.body(null, 304)
    return c.json(standing, 200)
  })

  app.openapi(vote, async (c) => {
    const { poll } = c.req.valid('param')
    const { option } = c.req.valid('json')
    const outcome = await voters.read(c)
    if (outcome.kind !== 'known') {
      await voters.issue(c)
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

  app.openapi(createPoll, async (c) => {
    const { poll, ...draft } = c.req.valid('json')
    const outcome = await polls.create({ slug: poll, ...defined(draft) })
    if (outcome.kind === 'slug-taken')
      throw new Refused(problemResponse(409, 'poll-exists', `There is a poll "${poll}" already.`))
    log.info({ requestId: c.var.requestId, poll }, 'poll created')
    return c.json(await mustStand(poll), 201, { location: `/api/polls/${poll}` })
  })

  app.openapi(editPoll, async (c) => {
    const { poll } = c.req.valid('param')
    const edit = c.req.valid('json')
    const outcome = await polls.edit(poll, defined(edit))
    if (outcome.kind === 'unknown-poll') throw unknownPoll(poll)
    log.info({ requestId: c.var.requestId, poll, changed: Object.keys(edit) }, 'poll changed')
    return c.json(await mustStand(poll), 200)
  })

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

  async function standingOf(poll: string, ballot: string | undefined) {
    const snapshot = await tallies.read(poll, { revealed: ballot !== undefined })
    return snapshot === undefined ? undefined : { ...snapshot, ballot: ballot === undefined ? null : { option: ballot } }
  }

  /** Of a poll that was written a moment ago. */
  async function mustStand(poll: string) {
    const standing = await standingOf(poll, undefined)
    if (standing === undefined) throw new Error(`poll ${poll} has vanished`)
    return standing
  }
}

function answer(c: Context, { status, body }: ReturnType<Probes['live']>) {
  return c.json(body, status, { 'cache-control': 'no-store' })
}

/** The fields that were given: what is absent must stay absent, so that it changes nothing. */
function defined<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}
