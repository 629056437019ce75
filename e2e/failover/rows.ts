/** The table of failures of `npm run test:failover`: each scenario records its row, the run writes them together. */
import { appendFileSync } from 'node:fs'

/** What one failure of the data layer did to votes and screens, as measured. */
export interface Row {
  /** Places the row: the part that fails, as in "Postgres", "PgBouncer", "Redis Sentinel". */
  readonly part: string
  /** What happened, in words: "the primary is killed and its synchronous standby promoted". */
  readonly failure: string
  /** How long no vote was acknowledged, and from which moment on: "1.2 s after the promotion ended", "none". */
  readonly votesPause: string
  /** How old the screens became, and whether they said so: "0.4 s", "2.1 s, marked stale". */
  readonly screens: string
  /** What is lost: "nothing", "what the standby had not received, under a new epoch". */
  readonly lost: string
}

/** Names the file that rows are appended to, one JSON document a line; without it nothing is recorded. */
export const ROWS_VARIABLE = 'LIVETALLY_FAILOVER_ROWS'

/** Records what a scenario measured, after its assertions held. */
export function recordRow(row: Row): void {
  const file = process.env[ROWS_VARIABLE]
  if (file !== undefined) appendFileSync(file, `${JSON.stringify(row)}\n`)
}

/** The table in Markdown; cells are plain text. */
export function tableOf(rows: readonly Row[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [
    line(['part', 'failure', 'votes pause', 'screens', 'lost']),
    line(['---', '---', '---', '---', '---']),
    ...rows.map((row) => line([row.part, row.failure, row.votesPause, row.screens, row.lost])),
  ].join('\n')
}
