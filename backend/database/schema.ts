/** The tables of Livetally, in a schema of their own so that they fit into a database that other programs use. */
import type { PollOption } from '../../shared/protocol/frames.ts'
import { pgCore, sql } from './drizzle.ts'

const { bigint, boolean, check, customType, index, integer, jsonb, pgSchema, primaryKey, smallint, text, timestamp, uuid } =
  pgCore

/** A transaction's 64-bit id, which never wraps around; text in JavaScript. */
const xid8 = customType<{ data: string; driverData: string }>({ dataType: () => 'xid8' })

export const livetally = pgSchema('livetally')

/** A table of another program that a poll counts in place of ballots. */
export interface PollSource {
  /** Its name as Postgres prints it: quoted where needed, with its schema where that is not on the search path. */
  readonly table: string
  /** The column whose text is the option's id. */
  readonly optionColumn: string
}

/** Triggers keep `option_ids`, `epoch`, `revision`, `updated_at` and `xid`, whoever writes (migrations/0001_counting.sql). */
export const polls = livetally.table(
  'polls',
  {
    id: integer().primaryKey().generatedAlwaysAsIdentity(),
    slug: text().notNull().unique(),
    question: text().notNull(),
    options: jsonb().$type<PollOption[]>().notNull(),
    optionIds: text('option_ids')
      .array()
      .notNull()
      .default(sql`'{}'`),
    state: text({ enum: ['scheduled', 'open', 'closed'] })
      .notNull()
      .default('open'),
    opensAt: timestamp('opens_at', { withTimezone: true }),
    closesAt: timestamp('closes_at', { withTimezone: true }),
    changeAllowed: boolean('change_allowed').notNull().default(true),
    visibility: text({ enum: ['live', 'after-vote', 'after-close'] })
      .notNull()
      .default('live'),
    policy: text({ enum: ['cookie', 'ticket'] })
      .notNull()
      .default('cookie'),
    source: jsonb().$type<PollSource>(),
    epoch: integer().notNull().default(1),
    revision: integer().notNull().default(1),
    createdAt: timestamp('created_at', { withTimezone: true })
      .notNull()
      .default(sql`clock_timestamp()`),
    updatedAt: timestamp('updated_at', { withTimezone: true })
      .notNull()
      .default(sql`clock_timestamp()`),
    xid: xid8()
      .notNull()
      .default(sql`pg_current_xact_id()`),
  },
  (poll) => [
    index('polls_xid').on(poll.xid),
    index('polls_to_open')
      .on(poll.opensAt)
      .where(sql`state = 'scheduled' and opens_at is not null`),
    index('polls_to_close')
      .on(poll.closesAt)
      .where(sql`state <> 'closed' and closes_at is not null`),
    check('polls_slug_is_a_name', sql`slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and length(slug) <= 64`),
    check('polls_state_is_known', sql`state in ('scheduled', 'open', 'closed')`),
    check('polls_visibility_is_known', sql`visibility in ('live', 'after-vote', 'after-close')`),
    check('polls_policy_is_known', sql`policy in ('cookie', 'ticket')`),
  ],
)

/**
 * One ballot per poll and voter, which the primary key guarantees. There is no foreign key to the polls, since Postgres would check
 * it for every row; the statement of a batch locks the polls itself (docs/adr/0012).
 */
export const ballots = livetally.table(
  'ballots',
  {
    pollId: integer('poll_id').notNull(),
    voterId: uuid('voter_id').notNull(),
    option: text().notNull(),
    castAt: timestamp('cast_at', { withTimezone: true })
      .notNull()
      .default(sql`clock_timestamp()`),
    /** The order of the vote among the voter's: only a higher one replaces it (docs/adr/0018). 0 from a writer that gives none. */
    voteOrder: bigint('vote_order', { mode: 'number' }).notNull().default(0),
  },
  (ballot) => [primaryKey({ columns: [ballot.pollId, ballot.voterId] })],
)

/**
 * What the triggers counted. A slot has one writer at a time, so that writers do not wait for each other's counters. Only the sum
 * over the slots means anything: a slot's `n` is negative when votes counted in another were changed through this one.
 */
export const counters = livetally.table(
  'counters',
  {
    pollId: integer('poll_id').notNull(),
    option: text().notNull(),
    slot: smallint().notNull(),
    n: bigint({ mode: 'number' }).notNull(),
    /** Rises by one with every change; the poll's version is the sum of these and its revision. */
    ver: bigint({ mode: 'number' }).notNull(),
    /** The transaction that changed the row last, by which the tally reader finds it (docs/adr/0011). */
    xid: xid8().notNull(),
    changedAt: timestamp('changed_at', { withTimezone: true }).notNull(),
  },
  (counter) => [primaryKey({ columns: [counter.pollId, counter.option, counter.slot] }), index('counters_xid').on(counter.xid)],
)

/** The slugs of removed polls: a later poll with the slug starts in a higher epoch, so that screens take its tallies for newer. */
export const removedPolls = livetally.table(
  'removed_polls',
  {
    pollId: integer('poll_id').primaryKey(),
    slug: text().notNull(),
    epoch: integer().notNull(),
    xid: xid8()
      .notNull()
      .default(sql`pg_current_xact_id()`),
  },
  (removed) => [index('removed_polls_xid').on(removed.xid), index('removed_polls_slug').on(removed.slug)],
)

/** One-time tickets. `voterId` is made from a hash of the ticket: the ticket itself is not stored. */
export const tickets = livetally.table(
  'tickets',
  {
    pollId: integer('poll_id').notNull(),
    voterId: uuid('voter_id').notNull(),
    createdAt: timestamp('created_at', { withTimezone: true })
      .notNull()
      .default(sql`clock_timestamp()`),
  },
  (ticket) => [primaryKey({ columns: [ticket.pollId, ticket.voterId] })],
)

/** The counts of each poll at the end of each second in which they changed. */
export const history = livetally.table(
  'history',
  {
    pollId: integer('poll_id').notNull(),
    at: timestamp({ withTimezone: true }).notNull(),
    epoch: integer().notNull(),
    version: bigint({ mode: 'number' }).notNull(),
    /** Rows per option, withdrawn options included. */
    counts: jsonb().$type<Record<string, number>>().notNull(),
  },
  (sample) => [primaryKey({ columns: [sample.pollId, sample.at] })],
)

/** One row: the identity of the database in which these tables were last read (database/identity.ts). */
export const origin = livetally.table('origin', {
  id: integer().primaryKey().default(1),
  identity: text().notNull(),
  /** The epoch in which polls begin: it rises when the database turns out to be another one. */
  epoch: integer().notNull().default(0),
})
