/** Reads and changes the definitions of polls. Counts come from the tally reader. */
import type { PollOption, PollState } from '../../shared/protocol/frames.ts'
import type { Database, Queryable } from '../database/database.ts'
import { asc, eq, sql } from '../database/drizzle.ts'
import { ballots, polls } from '../database/schema.ts'
import type { Policy, Poll, Visibility } from './poll.ts'

export interface NewPoll {
  readonly slug: string
  readonly question: string
  readonly options: readonly PollOption[]
  /** When the poll opens by itself; until then it is scheduled. Null or absent: it is open at once. */
  readonly opensAt?: Date | null
  readonly closesAt?: Date | null
  readonly changeAllowed?: boolean
  readonly visibility?: Visibility
  readonly policy?: Policy
}

/** The fields to change; absent ones stay. Closing sets `closesAt` to now; reopening clears a `closesAt` that has passed. */
export interface PollEdit {
  readonly question?: string
  /** Votes for an option that is left out stay in the database, uncounted, and count again if the option comes back. */
  readonly options?: readonly PollOption[]
  readonly state?: PollState
  readonly opensAt?: Date | null
  readonly closesAt?: Date | null
  readonly changeAllowed?: boolean
  readonly visibility?: Visibility
}

export type CreateOutcome = { readonly kind: 'created'; readonly poll: Poll } | { readonly kind: 'slug-taken' }
export type EditOutcome = { readonly kind: 'edited'; readonly poll: Poll } | { readonly kind: 'unknown-poll' }

export interface PollStore {
  /** All polls, oldest first. */
  list(): Promise<Poll[]>
  get(slug: string): Promise<Poll | undefined>
  create(poll: NewPoll): Promise<CreateOutcome>
  edit(slug: string, edit: PollEdit): Promise<EditOutcome>
  /** Removes every ballot and starts a new epoch. A poll that counts another program's table keeps its counts. */
  reset(slug: string): Promise<EditOutcome>
  /** Removes the poll with its ballots. False when there was none. */
  remove(slug: string): Promise<boolean>
  /**
   * Opens and closes the polls that are due by the database's clock, over the given connection, or the pool. Any replica may call it,
   * at any time.
   */
  advance(connection?: Queryable): Promise<void>
}

export function createPollStore(database: Database): PollStore {
  const { orm } = database
  return {
    list: async () => await orm.select(COLUMNS).from(polls).orderBy(asc(polls.id)),
    get: async (slug) => (await orm.select(COLUMNS).from(polls).where(eq(polls.slug, slug)))[0],
    create: async ({ options, ...rest }) => {
      const [poll] = await orm
        .insert(polls)
        .values({ ...rest, options: [...options] })
        .onConflictDoNothing({ target: polls.slug })
        .returning(COLUMNS)
      return poll === undefined ? { kind: 'slug-taken' } : { kind: 'created', poll }
    },
    edit: async (slug, { options, ...rest }) => {
      const changes = { ...rest, ...(options === undefined ? {} : { options: [...options] }) }
      // an UPDATE needs at least one column; this one changes nothing
      const [poll] = await orm
        .update(polls)
        .set(Object.keys(changes).length === 0 ? { slug } : changes)
        .where(eq(polls.slug, slug))
        .returning(COLUMNS)
      return poll === undefined ? { kind: 'unknown-poll' } : { kind: 'edited', poll }
    },
    reset: async (slug) =>
      await database.withTransaction(async (transaction) => {
        // the poll's row is locked first: a batch locks it while it writes, so none writes between this and the delete
        const [poll] = await transaction.orm
          .update(polls)
          .set({ epoch: sql`${polls.epoch} + 1` })
          .where(eq(polls.slug, slug))
          .returning(COLUMNS)
        if (poll === undefined) return { kind: 'unknown-poll' }
        await transaction.orm.delete(ballots).where(eq(ballots.pollId, poll.id))
        return { kind: 'edited', poll }
      }),
    remove: async (slug) => (await orm.delete(polls).where(eq(polls.slug, slug)).returning({ id: polls.id })).length > 0,
    advance: async (connection = database) => {
      await connection.query(ADVANCE)
    },
  }
}

const COLUMNS = {
  id: polls.id,
  slug: polls.slug,
  question: polls.question,
  options: polls.options,
  state: polls.state,
  opensAt: polls.opensAt,
  closesAt: polls.closesAt,
  changeAllowed: polls.changeAllowed,
  visibility: polls.visibility,
  policy: polls.policy,
  source: polls.source,
  epoch: polls.epoch,
  revision: polls.revision,
  createdAt: polls.createdAt,
  updatedAt: polls.updatedAt,
}

const ADVANCE = {
  name: 'advance',
  text: `
UPDATE livetally.polls SET state = CASE WHEN closes_at <= now() THEN 'closed' ELSE 'open' END
WHERE id IN (
  SELECT id FROM livetally.polls
  WHERE state = 'scheduled' AND opens_at IS NOT NULL AND opens_at <= now()
     OR state <> 'closed' AND closes_at IS NOT NULL AND closes_at <= now()
  ORDER BY id FOR NO KEY UPDATE)`,
}
