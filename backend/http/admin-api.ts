/** The admin routes of the API, for the organiser: each of them requires the admin token. */
import type { OpenAPIHono } from '@hono/zod-openapi'
import { createHash, timingSafeEqual } from 'node:crypto'
import { bearerAuth } from 'hono/bearer-auth'
import type { Presence } from '../../shared/bus/tally-bus.ts'
import { problemResponse } from '../../shared/protocol/problem.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import type { createAdopted } from '../adopt/adopt.ts'
import {
  createPoll,
  editPoll,
  exportPoll,
  issueTickets,
  listGateways,
  readCounts,
  removePoll,
  resetPoll,
} from './admin-routes.ts'
import type { CreateOutcome, NewPoll, PollStore } from '../polls/poll-store.ts'
import { problemException, unknownPoll } from './problems.ts'
import type { PollSource } from '../database/schema.ts'
import type { PollViews } from './poll-view.ts'
import type { TicketStore } from '../polls/ticket-store.ts'

type AdoptedOutcome = Awaited<ReturnType<typeof createAdopted>>

export interface AdminApiOptions {
  readonly polls: PollStore
  readonly views: PollViews
  readonly tickets: TicketStore
  /** The poll's CSV in pieces; undefined if there is no such poll. */
  readonly exportCsv: (slug: string) => Promise<AsyncIterable<string> | undefined>
  /** Creates a poll that counts another program's table. */
  readonly createAdopted: (poll: NewPoll, source: PollSource) => Promise<AdoptedOutcome>
  readonly gateways: () => Promise<readonly Presence[]>
  /** Any of them will do. */
  readonly adminTokens: readonly string[]
  readonly log: Log
}

type App = OpenAPIHono<{ Variables: { requestId: string } }>

export function mountAdminApi(app: App, options: AdminApiOptions): void {
  const { polls, views, log } = options
  const admin = bearerAuth({ verifyToken: isOneOf(options.adminTokens) })
  app.on('POST', ['/api/polls', '/api/polls/:poll/reset', '/api/polls/:poll/tickets'], admin)
  app.on(['PATCH', 'DELETE'], ['/api/polls/:poll'], admin)
  app.on('GET', ['/api/polls/:poll/counts', '/api/polls/:poll/export.csv', '/api/gateways'], admin)

  app.openapi(createPoll, async (c) => {
    const { poll: slug, source, ...draft } = c.req.valid('json')
    const asked = { slug, ...defined(draft) }
    const outcome = source === undefined ? await polls.create(asked) : await options.createAdopted(asked, source)
    if (outcome.kind !== 'created') throw creationRefused(outcome, slug, source)
    log.info({ requestId: c.var.requestId, poll: slug }, 'poll created')
    return c.json(await viewOf(slug), 201, { location: `/api/polls/${slug}` })
  })

  app.openapi(editPoll, async (c) => {
    const { poll: slug } = c.req.valid('param')
    const edit = c.req.valid('json')
    if ((await polls.edit(slug, defined(edit))).kind === 'unknown-poll') throw unknownPoll(slug)
    log.info({ requestId: c.var.requestId, poll: slug, changed: Object.keys(edit) }, 'poll changed')
    return c.json(await viewOf(slug), 200)
  })

  app.openapi(resetPoll, async (c) => {
    const { poll: slug } = c.req.valid('param')
    if ((await polls.reset(slug)).kind === 'unknown-poll') throw unknownPoll(slug)
    log.warn({ requestId: c.var.requestId, poll: slug }, 'poll reset: its ballots are gone')
    return c.json(await viewOf(slug), 200)
  })

  app.openapi(removePoll, async (c) => {
    const { poll: slug } = c.req.valid('param')
    if (!(await polls.remove(slug))) throw unknownPoll(slug)
    log.warn({ requestId: c.var.requestId, poll: slug }, 'poll removed with its ballots')
    return c.body(null, 204)
  })

  app.openapi(issueTickets, async (c) => {
    const { poll: slug } = c.req.valid('param')
    const { count } = c.req.valid('json')
    const outcome = await options.tickets.issue(slug, count)
    if (outcome.kind === 'unknown-poll') throw unknownPoll(slug)
    if (outcome.kind === 'no-tickets-here') {
      throw problemException(
        problemResponse(409, 'no-tickets-here', `The poll "${slug}" takes anyone with a cookie: create it with policy "ticket".`),
      )
    }
    log.info({ requestId: c.var.requestId, poll: slug, count }, 'tickets issued')
    const scheme = c.req.header('x-forwarded-proto') ?? 'http'
    const host = c.req.header('x-forwarded-host') ?? c.req.header('host') ?? 'localhost'
    const links = outcome.tickets.map((one) => `${scheme}://${host}/p/${slug}?ticket=${one}`)
    return c.body(['link', ...links, ''].join('\r\n'), 201, download(`${slug}-tickets.csv`))
  })

  app.openapi(exportPoll, async (c) => {
    const { poll: slug } = c.req.valid('param')
    const pieces = await options.exportCsv(slug)
    if (pieces === undefined) throw unknownPoll(slug)
    // a stream pulls the next piece only when the reader has taken the last, so that memory does not grow with the ballots
    return c.body(ReadableStream.from(encoded(pieces)), 200, download(`${slug}.csv`))
  })

  app.openapi(readCounts, async (c) => {
    const { poll: slug } = c.req.valid('param')
    const counts = await views.counts(slug)
    if (counts === undefined) throw unknownPoll(slug)
    return c.json({ poll: slug, counts }, 200, { 'cache-control': 'no-store' })
  })

  app.openapi(listGateways, async (c) => c.json({ gateways: [...(await options.gateways())] }, 200))

  /** The view of a poll that was just written. */
  async function viewOf(slug: string) {
    const view = await views.read(slug)
    if (view === undefined) throw unknownPoll(slug)
    return view
  }
}

/** Whether a token is one of the good ones. How long it takes says nothing about any of them. */
function isOneOf(tokens: readonly string[]): (token: string) => boolean {
  const digestOf = (text: string) => createHash('sha256').update(text).digest()
  const good = tokens.map(digestOf)
  return (token) => {
    const digest = digestOf(token)
    // all are compared, so that the time is the same whichever it is
    return good.filter((one) => timingSafeEqual(one, digest)).length > 0
  }
}

function creationRefused(
  outcome: Exclude<AdoptedOutcome | CreateOutcome, { kind: 'created' }>,
  slug: string,
  source: PollSource | undefined,
) {
  const what = `The table ${source?.table} cannot be counted`
  const refused = (status: number, kind: string, detail: string) => problemException(problemResponse(status, kind, detail))
  switch (outcome.kind) {
    case 'slug-taken':
      return refused(409, 'poll-exists', `There is a poll "${slug}" already.`)
    case 'unknown-table':
      return refused(422, 'not-adoptable', `${what}: there is no such table.`)
    case 'unknown-column':
      return refused(422, 'not-adoptable', `${what}: it has no column "${source?.optionColumn}".`)
    case 'not-adoptable':
      return refused(422, 'not-adoptable', `${what}: ${outcome.reason}.`)
    case 'not-owner':
      return refused(422, 'not-adoptable', `${what}: it belongs to another database role.`)
    case 'unknown-poll':
    case 'has-ballots':
    case 'other-source':
      return refused(409, 'not-adoptable', `${what}: the poll was changed meanwhile.`)
  }
}

function download(filename: string) {
  return {
    'content-type': 'text/csv; charset=utf-8',
    'content-disposition': `attachment; filename="${filename}"`,
    'cache-control': 'no-store',
  }
}

async function* encoded(pieces: AsyncIterable<string>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder()
  for await (const piece of pieces) yield encoder.encode(piece)
}

/** The fields that were given: a field that is undefined is dropped, since an absent field changes nothing. */
function defined<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  // entries lose their types: the result has the fields of T without the undefined ones
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>
  }
}
