/** Writes a poll's totals and its ballots as CSV (RFC 4180) for spreadsheets, a page at a time, without voter ids. */
import type { Database, Queryable } from '../database/database.ts'
import { countedPoll } from './tally-queries.ts'
import { snapshotOf } from './tally.ts'

const PAGE_ROWS = 5_000
/** By this mark a spreadsheet knows UTF-8. */
const BYTE_ORDER_MARK = '\uFEFF'
/**
 * Where a spreadsheet would read a formula: at the start of a cell, also of one that begins within ours when the spreadsheet goes by
 * another separator (OWASP, CSV Injection).
 */
const FORMULA_START = /(?<=^|[;\t\r\n])(?=[=+\-@＝＋－＠\t\r\n])/g

/**
 * The file in pieces, or undefined if there is no such poll: one `total` line per option, then one `ballot` line per ballot, all from
 * one snapshot of the database. Reading ends when the iteration does. The counts are in it whatever the poll's visibility, since only
 * the organiser gets the file. A poll that counts another program's table has totals only.
 */
export async function exportCsv(database: Database, slug: string): Promise<AsyncIterable<string> | undefined> {
  if ((await countedPoll(database, slug)) === undefined) return undefined
  return pages(database, slug)
}

async function* pages(database: Database, slug: string): AsyncGenerator<string, void> {
  // one snapshot for all pages, except on PGlite: a transaction on its only session would enclose everyone's statements
  const session = await database.openSession({ label: 'export', statementTimeoutMs: 0 })
  const ofOneMoment = database.kind === 'postgres'
  try {
    if (ofOneMoment) await session.query({ text: 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY' })
    const counted = await countedPoll(session, slug)
    if (counted === undefined) return
    const { poll, counters } = counted
    const { counts = {} } = snapshotOf({ ...poll, visibility: 'live' }, counters).tally
    const totals = poll.options.map(({ id, label }) => csvLine(['total', id, label, String(counts[id] ?? 0), '']))
    yield [BYTE_ORDER_MARK, csvLine(['kind', 'option', 'label', 'count', 'cast_at']), ...totals].join('')
    if (poll.source === null) yield* ballotPages(session, poll.id)
  } finally {
    if (ofOneMoment && !session.lost) await session.query({ text: 'ROLLBACK' }).catch(() => {})
    await session.close()
  }
}

async function* ballotPages(session: Queryable, pollId: number): AsyncGenerator<string, void> {
  let after = '00000000-0000-0000-0000-000000000000'
  for (;;) {
    const rows = await session.query<{ voter_id: string; option: string; cast_at: Date }>(PAGE, [pollId, after, PAGE_ROWS])
    if (rows.length > 0)
      yield rows.map(({ option, cast_at: at }) => csvLine(['ballot', option, '', '1', at.toISOString()])).join('')
    const last = rows.at(-1)
    if (last === undefined || rows.length < PAGE_ROWS) return
    after = last.voter_id
  }
}

/** A line of the file. An apostrophe before what a spreadsheet would take for a formula makes a text of it. */
export function csvLine(cells: readonly string[]): string {
  return `${cells.map((cell) => quoted(cell.replaceAll(FORMULA_START, "'"))).join(',')}\r\n`
}

function quoted(cell: string): string {
  return /[",;\t\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell
}

const PAGE = {
  name: 'export page',
  text: `SELECT voter_id, option, cast_at FROM livetally.ballots WHERE poll_id = $1 AND voter_id > $2 ORDER BY voter_id LIMIT $3`,
}
