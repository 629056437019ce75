/** What the database says, read directly and by this project's own words (docs/architecture.md, "The counters"), not by its code. */
import { Pool } from 'pg'
import { isNewer, type Versioned } from '../../shared/protocol/order.ts'
import type { Journal } from './journal.ts'
import type { TallyLedger } from './tally-ledger.ts'
import type { Ballot, VoteLedger, Wipe } from './vote-ledger.ts'

/** A poll as the database has it. */
export interface PollTruth extends Versioned {
  readonly slug: string
  readonly state: string
  readonly question: string
  readonly counts: Readonly<Record<string, number>>
  readonly total: number
}

export interface Truth {
  /** As last read, by slug. */
  readonly polls: ReadonlyMap<string, PollTruth>
  /** When that was, in ms since 1970. */
  readonly readAt: number
  /** Reads once more; undefined where the database does not answer. */
  read(): Promise<ReadonlyMap<string, PollTruth> | undefined>
  /** For how long somebody who shows `known` of a poll has been behind, in ms; 0 where that is the newest, or no longer a poll. */
  behindMs(slug: string, known: Versioned | undefined): number
  /** Compares every ballot with the ledger, and the counters with the ballots. Resolves to how many ballots were compared. */
  check(votes: VoteLedger): Promise<number>
  /** Ends every connection to the database but this one's. */
  cutOthers(): Promise<void>
  /** Ballots that were cast before a reset and counted after it. */
  readonly late: number
  stop(): Promise<void>
}

/** Of every connection that a run opens itself. */
export const NAME = 'chaos'
/** How far back it is known since when a version exists. */
const KEPT_MS = 120_000
/** The database's clock and this process's are one, read at different moments of a statement. */
const CLOCK_SLACK_MS = 5

/** Also notes in a table of its own whenever ballots are removed, since no answer of the API says exactly when that happened. */
export async function observeDatabase(url: string, journal: Journal, tallies: TallyLedger): Promise<Truth> {
  const settings = { application_name: NAME, connectionTimeoutMillis: 2_000, query_timeout: 5_000, statement_timeout: 5_000 }
  const pool = new Pool({ connectionString: url, max: 3, ...settings })
  pool.on('error', () => {}) // a connection that was cut; the next statement opens another
  await pool.query(WATCH_WIPES)

  let polls: ReadonlyMap<string, PollTruth> = new Map()
  let readAt = 0
  let late = 0
  const since = new Map<string, { readonly at: number; readonly place: Versioned }[]>()

  const read = async () => {
    let rows: PollTruth[]
    try {
      rows = (await pool.query<PollTruth>(POLLS)).rows
    } catch (error) {
      journal.write({ unread: String(error) })
      return undefined
    }
    readAt = Date.now()
    for (const poll of rows) {
      const newest = since.get(poll.slug)?.at(-1)
      // a poll that was away and is there again is new to everybody, whatever they missed of the one before
      const history = polls.has(poll.slug) ? (since.get(poll.slug) ?? []) : []
      if (newest === undefined || isNewer(poll, newest.place)) history.push({ at: readAt, place: poll })
      else if (isNewer(newest.place, poll))
        journal.violate('the database went backwards', `${poll.slug}: ${poll.epoch}.${poll.version}`)
      // one that is older than all that is kept is behind by at least so much
      while (history.length > 1 && (history[0]?.at ?? 0) < readAt - KEPT_MS) history.shift()
      since.set(poll.slug, history)
      const wrong = tallies.shown('database', { ...poll, poll: poll.slug })
      if (wrong !== undefined) journal.violate(wrong.rule, wrong.detail)
    }
    polls = new Map(rows.map((poll) => [poll.slug, poll]))
    return polls
  }

  const check = async (votes: VoteLedger) => {
    const from = Date.now()
    const { rows: ballots } = await pool.query<BallotRow>(BALLOTS)
    const to = Date.now()
    const wipes = await readWipes(pool)
    for (const slug of polls.keys()) {
      const stored = new Map(ballots.filter((ballot) => ballot.slug === slug).map((ballot) => [ballot.voter, ballot]))
      for (const voter of new Set([...votes.votersOf(slug), ...stored.keys()])) {
        const verdict = votes.judge(slug, voter, stored.get(voter), wipes.get(slug) ?? [], { from, to })
        if (verdict.ok) late += 'late' in verdict ? 1 : 0
        else {
          const history = votes.votesOf(slug, voter).slice(-6)
          journal.violate(
            verdict.rule,
            `${voter} in ${slug}: the row is ${stored.get(voter)?.option}, written at ${stored.get(voter)?.writtenAt}, possible ${verdict.possible.join(' or ')}; votes ${JSON.stringify(history)}; read ${from} to ${to}`,
          )
        }
      }
    }
    const { rows: wrong } = await pool.query(MISCOUNTS)
    for (const row of wrong) journal.violate('counters and ballots differ', JSON.stringify(row))
    return ballots.length
  }

  if ((await read()) === undefined) throw new Error('the polls cannot be read from the database')
  return {
    get polls() {
      return polls
    },
    get readAt() {
      return readAt
    },
    get late() {
      return late
    },
    read,
    behindMs(slug, known) {
      if (!polls.has(slug)) return 0
      const missed = since.get(slug)?.find(({ place }) => isNewer(place, known))
      return missed === undefined ? 0 : Date.now() - missed.at
    },
    check,
    async cutOthers() {
      await pool.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE backend_type = 'client backend' AND application_name <> '${NAME}'`,
      )
    },
    stop: () => pool.end(),
  }
}

interface BallotRow extends Ballot {
  readonly slug: string
  readonly voter: string
}

async function readWipes(pool: Pool): Promise<Map<string, Wipe[]>> {
  const { rows } = await pool.query<{ slug: string; started: Date; committed: Date }>(
    'SELECT slug, started, pg_xact_commit_timestamp(xmin) AS committed FROM chaos.wipes ORDER BY started',
  )
  const wipes = new Map<string, Wipe[]>()
  for (const { slug, started, committed } of rows) {
    const wipe = { from: started.getTime() - CLOCK_SLACK_MS, to: committed.getTime() + CLOCK_SLACK_MS }
    wipes.set(slug, [...(wipes.get(slug) ?? []), wipe])
  }
  return wipes
}

const WATCH_WIPES = `
CREATE SCHEMA chaos;
CREATE TABLE chaos.wipes (slug text, started timestamptz);
CREATE FUNCTION chaos.note_reset() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO chaos.wipes SELECT p.slug, clock_timestamp() FROM livetally.polls p
  WHERE p.id IN (SELECT poll_id FROM removed);
  RETURN NULL;
END $$;
CREATE FUNCTION chaos.note_removal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO chaos.wipes VALUES (old.slug, clock_timestamp());
  RETURN NULL;
END $$;
CREATE TRIGGER note_reset AFTER DELETE ON livetally.ballots REFERENCING OLD TABLE AS removed
  FOR EACH STATEMENT EXECUTE FUNCTION chaos.note_reset();
CREATE TRIGGER note_removal AFTER DELETE ON livetally.polls FOR EACH ROW EXECUTE FUNCTION chaos.note_removal();`

const POLLS = `
WITH counted AS (
  SELECT poll_id, option, sum(n)::integer AS n, sum(ver)::integer AS ver FROM livetally.counters GROUP BY poll_id, option
), answer AS (
  SELECT p.id, json_object_agg(o.option, coalesce(c.n, 0)) AS counts, sum(coalesce(c.n, 0))::integer AS total
  FROM livetally.polls p CROSS JOIN unnest(p.option_ids) AS o(option)
  LEFT JOIN counted c ON c.option = o.option AND c.poll_id = p.id
  GROUP BY p.id
)
SELECT p.slug, p.epoch, p.state, p.question, answer.counts, answer.total,
  (p.revision + coalesce((SELECT sum(ver) FROM counted c WHERE c.poll_id = p.id), 0))::integer AS version
FROM livetally.polls p JOIN answer ON answer.id = p.id ORDER BY p.id`

const BALLOTS = `
SELECT p.slug, b.voter_id AS voter, b.option,
  (extract(epoch FROM pg_xact_commit_timestamp(b.xmin)) * 1000)::float8 AS "writtenAt"
FROM livetally.ballots b JOIN livetally.polls p ON p.id = b.poll_id`

const MISCOUNTS = `
SELECT poll_id, option, coalesce(c.n, 0) AS counted, coalesce(b.n, 0) AS ballots
FROM (SELECT poll_id, option, sum(n)::integer AS n FROM livetally.counters GROUP BY poll_id, option) c
FULL JOIN (SELECT poll_id, option, count(*)::integer AS n FROM livetally.ballots GROUP BY poll_id, option) b
  USING (poll_id, option)
WHERE coalesce(c.n, 0) <> coalesce(b.n, 0)`
