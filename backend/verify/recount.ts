/** Recounts: reads every row, where the counters only say what the triggers added up. */
import type { Queryable } from '../database/database.ts'
import type { PollSource } from '../database/schema.ts'

/** Rows per option. */
export type Recount = ReadonlyMap<string, number>

/** Counts Livetally's own ballots by poll id, of the given polls or of all. */
export async function recountBallots(
  connection: Queryable,
  pollIds: readonly number[] | undefined,
): Promise<ReadonlyMap<number, Recount>> {
  const rows = await connection.query<{ poll_id: number; option: string; n: string }>(
    {
      text: `SELECT poll_id, option, count(*) AS n FROM livetally.ballots
        WHERE ${pollIds === undefined ? 'true' : 'poll_id = ANY ($1::integer[])'} GROUP BY poll_id, option`,
    },
    pollIds === undefined ? [] : [`{${pollIds.join()}}`],
  )
  const counts = new Map<number, Map<string, number>>()
  for (const { poll_id: id, option, n } of rows) {
    let recount = counts.get(id)
    if (recount === undefined) counts.set(id, (recount = new Map()))
    recount.set(option, Number(n))
  }
  return counts
}

/**
 * Counts the rows of another program's table. Postgres quotes the names. Undefined where the table or the column is gone, by whatever
 * hand: there is nothing to count then.
 */
export async function recountSource(connection: Queryable, source: PollSource): Promise<Recount | undefined> {
  const [statement] = await connection.query<{ text: string }>(
    {
      text: `SELECT format('SELECT left(%1$I::text, 200) AS option, count(*) AS n FROM %2$s WHERE %1$I IS NOT NULL GROUP BY 1',
          attname, attrelid::regclass) AS text
        FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = $2 AND attnum > 0 AND NOT attisdropped`,
    },
    [source.table, source.optionColumn],
  )
  if (statement === undefined) return undefined
  const rows = await connection.query<{ option: string; n: string }>({ text: statement.text })
  return new Map(rows.map(({ option, n }) => [option, Number(n)]))
}
