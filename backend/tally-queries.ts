/** Polls with their counters, as SQL and as the rows it yields. */
import type { Queryable } from './db.ts'
import type { Counter, TalliedPoll } from './tally.ts'

/** A poll and its counters of one database snapshot. */
export interface PollStanding {
  readonly poll: TalliedPoll
  readonly counters: readonly Counter[]
}

export async function pollBySlug(connection: Queryable, slug: string): Promise<PollStanding | undefined> {
  return (await connection.query<StandingRow>(POLL_BY_SLUG, [slug])).map(standingOf)[0]
}

export async function pollsById(connection: Queryable, ids: Iterable<number>): Promise<PollStanding[]> {
  return (await connection.query<StandingRow>(POLLS_BY_ID, [`{${[...ids].join()}}`])).map(standingOf)
}

export async function allPolls(connection: Queryable): Promise<PollStanding[]> {
  return (await connection.query<StandingRow>(ALL_POLLS)).map(standingOf)
}

type CounterArray = readonly [option: string, slot: number, n: number, ver: number, changedAt: number]

interface StandingRow {
  readonly poll: TalliedPoll
  readonly counters: readonly CounterArray[]
}

function standingOf({ poll, counters }: StandingRow): PollStanding {
  return { poll, counters: counters.map(([option, slot, n, ver, changedAt]) => ({ option, slot, n, ver, changedAt })) }
}

/** A poll's row as JSON: `TalliedPoll`. */
export const POLL_JSON = `jsonb_build_object('id', p.id, 'slug', p.slug, 'question', p.question, 'options', p.options, 'state', p.state,
  'visibility', p.visibility, 'opensAt', p.opens_at, 'closesAt', p.closes_at, 'epoch', p.epoch, 'revision', p.revision,
  'updatedAt', p.updated_at, 'source', p.source)`

/** When a counter changed, in ms since the epoch. */
export const CHANGED_AT_MS = 'floor(extract(epoch FROM c.changed_at) * 1000)::bigint'

const standings = (condition: string) => `
SELECT ${POLL_JSON} AS poll, coalesce(
  (SELECT jsonb_agg(jsonb_build_array(c.option, c.slot, c.n, c.ver, ${CHANGED_AT_MS})) FROM livetally.counters c WHERE c.poll_id = p.id), '[]'
) AS counters
FROM livetally.polls p WHERE ${condition} ORDER BY p.id`

const POLLS_BY_ID = { name: 'polls by id', text: standings('p.id = ANY ($1::integer[])') }
const POLL_BY_SLUG = { name: 'poll by slug', text: standings('p.slug = $1') }
const ALL_POLLS = { name: 'all polls', text: standings('true') }
