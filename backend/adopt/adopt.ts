/** Has polls count the rows of another program's table in place of ballots, until the table is released. */
import { sqlState } from '../database/errors.ts'
import type { Database, Queryable, Transaction } from '../database/database.ts'
import { type CreateOutcome, type NewPoll, createPollStore } from '../polls/poll-store.ts'
import type { Poll } from '../polls/poll.ts'
import type { PollSource } from '../database/schema.ts'

export interface AdoptRequest {
  /** As in SQL: `votes`, `public.votes`, `"Votes"`. */
  readonly table: string
  /** The column's exact name. Its value as text is the option's id; rows where it is NULL count for nothing. */
  readonly optionColumn: string
  /** Of an existing poll. */
  readonly slug: string
}

export type AdoptOutcome =
  /** The table is counted from now on. `corrected` is by how many rows the counters were off: all at first, 0 when none was. */
  { readonly kind: 'adopted'; readonly source: PollSource; readonly corrected: number } | NotAdopted

export type NotAdopted =
  | { readonly kind: 'unknown-poll' }
  | { readonly kind: 'unknown-table' }
  | { readonly kind: 'unknown-column' }
  /** A view, a partition, a parent of others, or a table of Livetally or Postgres: triggers on it would not see every change. */
  | { readonly kind: 'not-adoptable'; readonly reason: string }
  /** The poll has ballots of its own. */
  | { readonly kind: 'has-ballots' }
  /** The poll counts another table or column. */
  | { readonly kind: 'other-source'; readonly source: PollSource }

export type CreateAdoptedOutcome =
  /** `corrected` as in `AdoptOutcome`. */
  | { readonly kind: 'created'; readonly poll: Poll; readonly corrected: number }
  | Exclude<CreateOutcome, { readonly kind: 'created' }>
  | NotAdopted
  /** The table belongs to another database role. */
  | { readonly kind: 'not-owner' }

export type ReleaseOutcome = { readonly kind: 'released' } | { readonly kind: 'unknown-poll' } | { readonly kind: 'no-source' }

/**
 * Has a poll count a table: one transaction puts the triggers on the table and counts the rows that are in it, while it locks
 * other writers out. It may be repeated at any time. Rejects if the database role does not own the table, or if the table stays
 * locked by others for 10 s.
 */
export async function adopt(database: Database, request: AdoptRequest): Promise<AdoptOutcome> {
  const found = await findSource(database, request)
  if (found.kind !== 'found') return found
  return await database.withTransaction(async (transaction) => await adoptFound(transaction, request.slug, found.source), {
    unhurried: true,
  })
}

/** Creates a poll that counts a table. When the table cannot be adopted, or adopting it fails, the poll is removed again. */
export async function createAdopted(database: Database, poll: NewPoll, source: PollSource): Promise<CreateAdoptedOutcome> {
  const polls = createPollStore(database)
  const found = await findSource(database, source)
  if (found.kind !== 'found') return found
  const created = await polls.create(poll)
  if (created.kind !== 'created') return created
  try {
    const adopted = await adopt(database, { ...source, slug: poll.slug })
    if (adopted.kind === 'adopted') {
      return { kind: 'created', poll: (await polls.get(poll.slug)) ?? created.poll, corrected: adopted.corrected }
    }
    await polls.remove(poll.slug)
    return adopted
  } catch (error) {
    await polls.remove(poll.slug)
    if (sqlState(error) === '42501') return { kind: 'not-owner' }
    throw error
  }
}

/** Takes the triggers off the table and leaves the poll closed and empty, in a new epoch. */
export async function release(database: Database, slug: string): Promise<ReleaseOutcome> {
  return await database.withTransaction(
    async (transaction) => {
      const locked = await lockPoll(transaction, slug)
      if (locked === undefined) return { kind: 'unknown-poll' }
      if (locked.source === null) return { kind: 'no-source' }
      await transaction.query({ text: "SET LOCAL lock_timeout = '10s'" })
      await transaction.query(
        {
          text: 'SELECT livetally.stop_counting(table_name, $2) FROM to_regclass($1) AS table_name WHERE table_name IS NOT NULL',
        },
        [locked.source.table, `poll_${locked.id}`],
      )
      await transaction.query({ text: 'DELETE FROM livetally.counters WHERE poll_id = $1' }, [locked.id])
      await transaction.query(
        { text: "UPDATE livetally.polls SET source = NULL, state = 'closed', epoch = epoch + 1 WHERE id = $1" },
        [locked.id],
      )
      return { kind: 'released' }
    },
    { unhurried: true },
  )
}

/** The values that are most frequent in the column, the most frequent first: options for a poll that is made for the table. */
export async function suggestOptions(database: Database, source: PollSource): Promise<string[]> {
  const [statement] = await database.query<{ text: string }>(
    {
      text: `SELECT format('SELECT %1$I::text AS option FROM %2$s WHERE %1$I IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 20',
        $2::text, $1::regclass) AS text`,
    },
    [source.table, source.optionColumn],
  )
  if (statement === undefined) return []
  return (await database.query<{ option: string }>({ text: statement.text })).map(({ option }) => option)
}

type FoundSource = { readonly kind: 'found'; readonly source: PollSource } | NotAdopted

/** Looks the table and the column up; the source that is found has the table's name as Postgres prints it. */
export async function findSource(
  connection: Queryable,
  request: Pick<AdoptRequest, 'table' | 'optionColumn'>,
): Promise<FoundSource> {
  const { table, optionColumn } = request
  // names go to Postgres as parameters, since Postgres quotes them itself; a NUL cannot be part of a parameter
  if (table.includes('\0') || optionColumn.includes('\0')) return { kind: 'unknown-table' }
  let rows: SourceRow[]
  try {
    rows = await connection.query<SourceRow>(SOURCE, [table, optionColumn])
  } catch (error) {
    // to_regclass throws these for what cannot be parsed as a name, and for the name of another database
    if (/^(42601|42602|0A000)$/.test(sqlState(error) ?? '')) return { kind: 'unknown-table' }
    throw error
  }
  const [row] = rows
  if (row === undefined) return { kind: 'unknown-table' }
  if (row.unfit !== null) return { kind: 'not-adoptable', reason: row.unfit }
  if (!row.has_column) return { kind: 'unknown-column' }
  return { kind: 'found', source: { table: row.name, optionColumn } }
}

async function adoptFound(transaction: Transaction, slug: string, source: PollSource): Promise<AdoptOutcome> {
  const locked = await lockPoll(transaction, slug)
  if (locked === undefined) return { kind: 'unknown-poll' }
  const { id, source: before } = locked
  if (before !== null && (before.table !== source.table || before.optionColumn !== source.optionColumn)) {
    return { kind: 'other-source', source: before }
  }
  if (before === null && locked.has_ballots) return { kind: 'has-ballots' }
  // a lock request that waits makes later writers wait behind it, so this one gives up after 10 s
  await transaction.query({ text: "SET LOCAL lock_timeout = '10s'" })
  const [lock] = await transaction.query<{ text: string }>({ text: LOCK }, [source.table])
  await transaction.query({ text: lock?.text ?? '' })
  if (before === null) {
    await transaction.query({ text: 'UPDATE livetally.polls SET source = $2 WHERE id = $1' }, [id, JSON.stringify(source)])
  }
  const [adopted] = await transaction.query<{ off: string }>({ text: 'SELECT livetally.adopt($1::regclass, $2, $3) AS off' }, [
    source.table,
    source.optionColumn,
    id,
  ])
  return { kind: 'adopted', source, corrected: Number(adopted?.off) }
}

interface LockedPoll {
  readonly id: number
  readonly source: PollSource | null
  readonly has_ballots: boolean
}

async function lockPoll(transaction: Transaction, slug: string): Promise<LockedPoll | undefined> {
  const [row] = await transaction.query<LockedPoll>(
    {
      text: `SELECT p.id, p.source, EXISTS (SELECT FROM livetally.ballots b WHERE b.poll_id = p.id) AS has_ballots
        FROM livetally.polls p WHERE p.slug = $1 FOR NO KEY UPDATE`,
    },
    [slug],
  )
  return row
}

interface SourceRow {
  readonly name: string
  readonly unfit: string | null
  readonly has_column: boolean
}

const LOCK = "SELECT format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', $1::regclass) AS text"

const SOURCE = {
  text: `
SELECT format('%I.%I', n.nspname, c.relname) AS name,
  CASE WHEN n.nspname IN ('livetally', 'pg_catalog', 'information_schema') THEN 'it is not another program’s table'
    WHEN c.relkind <> 'r' OR c.relpersistence = 't' THEN 'it is not an ordinary table'
    WHEN c.relispartition OR c.relhassubclass THEN 'it is part of a partitioned or inherited table' END AS unfit,
  EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped) AS has_column
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass($1)`,
}
