/** Counting the slow way: every row. */
import type { Queryable } from '../database/database.ts'
import type { PollSource } from '../database/schema.ts'

/** Rows per option. */
export type Recount = ReadonlyMap<string, number>

/** Livetally's own ballots, by poll id; of the given polls or of all. */
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

/** The rows of another program's table. Postgres itself quotes its names. */
export async function recountSource(connection: Queryable, source: PollSource): Promise<Recount> {
  const [statement] = await connection.query<{ text: string | null }>(
    {
      text: `SELECT format('SELECT left(%1$I::text, 200) AS option, count(*) AS n FROM %2$s WHERE %1$I IS NOT NULL GROUP BY 1', $2::text, to_regclass($1)) AS text`,
    },
    [source.table, source.optionColumn],
  )
  if (statement === undefined || statement.text === null) return new Map()
  const rows = await connection.query<{ option: string; n: string }>({ text: statement.text })
  return new Map(rows.map(({ option, n }) => [option, Number(n)]))
}
