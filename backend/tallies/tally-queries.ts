/** Queries polls together with their counters. */
import type { Queryable } from '../database/database.ts'
import type { Policy, Visibility } from '../polls/poll.ts'
import type { Count, Counter, TalliedPoll } from './tally.ts'

/** A poll and its counters, from one snapshot of the database. */
export interface CountedPoll<C extends Count = Count> {
  readonly poll: TalliedPoll
  readonly counters: readonly C[]
}

/** A poll, its counters, and the rules for its voters. */
export interface ConfiguredPoll extends CountedPoll {
  readonly settings: { readonly changeAllowed: boolean; readonly visibility: Visibility; readonly policy: Policy }
}

/** The poll with one count for each option. */
export async function countedPoll(connection: Queryable, slug: string): Promise<CountedPoll | undefined> {
  return (await countedPollsNamed(connection, [slug]))[0]
}

/** The polls with one count for each option, and their settings; names that no poll has are left out. */
export async function countedPollsNamed(connection: Queryable, slugs: readonly string[]): Promise<ConfiguredPoll[]> {
  return await connection.query<ConfiguredPoll>(POLLS_BY_SLUG, [slugs])
}

/** The polls with every counter. */
export async function countedPolls(connection: Queryable, ids: Iterable<number>): Promise<CountedPoll<Counter>[]> {
  return await connection.query<CountedPoll<Counter>>(POLLS_BY_ID, [`{${[...ids].join()}}`])
}

/** All polls with one count for each option. */
export async function allCountedPolls(connection: Queryable): Promise<CountedPoll[]> {
  return await connection.query<CountedPoll>(ALL_POLLS)
}

/** A poll's row as JSON: `TalliedPoll`. */
export const POLL_JSON = `json_build_object('id', p.id, 'slug', p.slug, 'question', p.question, 'options', p.options, 'state', p.state,
  'visibility', p.visibility, 'opensAt', p.opens_at, 'closesAt', p.closes_at, 'epoch', p.epoch, 'revision', p.revision,
  'updatedAt', p.updated_at, 'source', p.source)`

/** A timestamp in ms since the epoch. */
export const msOf = (timestamp: string) => `floor(extract(epoch FROM ${timestamp}) * 1000)::bigint`

// Postgres adds the slots up, so that the rows sent and parsed do not grow with the number of writers
const COUNTS = `
SELECT c.option, sum(c.n) AS n, sum(c.ver) AS ver, ${msOf('max(c.changed_at)')} AS "changedAt"
FROM livetally.counters c WHERE c.poll_id = p.id GROUP BY c.option`

const COUNTERS = `
SELECT c.option, c.slot, c.n, c.ver, ${msOf('c.changed_at')} AS "changedAt" FROM livetally.counters c WHERE c.poll_id = p.id`

const SETTINGS_JSON = `json_build_object('changeAllowed', p.change_allowed, 'visibility', p.visibility, 'policy', p.policy)`

const pollsWith = (counters: string, condition: string) => `
SELECT ${POLL_JSON} AS poll, ${SETTINGS_JSON} AS settings, coalesce((SELECT json_agg(counter) FROM (${counters}) counter), '[]') AS counters
FROM livetally.polls p WHERE ${condition} ORDER BY p.id`

const POLLS_BY_ID = { name: 'polls by id', text: pollsWith(COUNTERS, 'p.id = ANY ($1::integer[])') }
const POLLS_BY_SLUG = { name: 'polls by slug', text: pollsWith(COUNTS, 'p.slug = ANY ($1::text[])') }
const ALL_POLLS = { name: 'all polls', text: pollsWith(COUNTS, 'true') }
