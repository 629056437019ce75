/** Records the counts of polls, second by second, and reads the history of a poll from these samples. */
import type { Database, Queryable } from '../database/database.ts'
import { resultsVisible } from '../polls/poll.ts'
import { countedPoll } from './tally-queries.ts'
import { type Counter, type TalliedPoll, countsOf } from './tally.ts'

export interface HistoryPoint {
  /** When the step began, ISO 8601. */
  readonly at: string
  readonly epoch: number
  readonly version: number
  /** Absent while the results are hidden. */
  readonly counts?: Readonly<Record<string, number>>
  readonly total: number
}

/** How many points of a poll's history are read at most, the latest ones. */
const MAX_POINTS = 1_000

/** The last counts within each step in which the poll changed, oldest first; undefined if there is no such poll. */
export async function readHistory(database: Database, slug: string, stepSeconds: number): Promise<HistoryPoint[] | undefined> {
  const counted = await countedPoll(database, slug)
  if (counted === undefined) return undefined
  const { poll } = counted
  const rows = await database.query<SampleRow>(HISTORY, [poll.id, stepSeconds, MAX_POINTS])
  const visible = resultsVisible(poll)
  return rows.toReversed().map(({ at, epoch, version, counts }) => {
    const offered = Object.fromEntries(poll.options.map(({ id }) => [id, counts[id] ?? 0]))
    return {
      at: at.toISOString(),
      epoch,
      version: Number(version),
      ...(visible ? { counts: offered } : {}),
      total: Object.values(offered).reduce((sum, n) => sum + n, 0),
    }
  })
}

/** Records the counts of polls for the current second. Of several replicas' samples of one second the newest version is kept. */
export async function recordHistory(
  connection: Queryable,
  changed: readonly { readonly poll: TalliedPoll; readonly counters: Iterable<Counter>; readonly version: number }[],
): Promise<void> {
  if (changed.length === 0) return
  const samples = changed.map(({ poll, counters, version }) => [poll.id, poll.epoch, version, countsOf(counters)])
  await connection.query(RECORD, [JSON.stringify(samples)])
}

interface SampleRow {
  readonly at: Date
  readonly epoch: number
  readonly version: string
  readonly counts: Readonly<Record<string, number>>
}

/** The beginning of the step that a time is in. */
const stepOf = (at: string) => `date_bin(make_interval(secs => $2::float8), ${at}, 'epoch')`

/** Goes from each step's last sample to the one before that step, so that its cost depends on the points alone. */
const HISTORY = {
  name: 'history',
  text: `
WITH RECURSIVE point AS (
  (SELECT ${stepOf('at')} AS step, epoch, version, counts, 1 AS nth FROM livetally.history
   WHERE poll_id = $1 ORDER BY at DESC LIMIT 1)
  UNION ALL
  SELECT earlier.* FROM point, LATERAL (
    SELECT ${stepOf('h.at')}, h.epoch, h.version, h.counts, point.nth + 1 FROM livetally.history h
    WHERE h.poll_id = $1 AND h.at < point.step ORDER BY h.at DESC LIMIT 1
  ) earlier WHERE point.nth < $3
)
SELECT step AS at, epoch, version, counts FROM point ORDER BY step DESC`,
}

const RECORD = {
  name: 'record history',
  text: `
INSERT INTO livetally.history AS h (poll_id, at, epoch, version, counts)
SELECT (s -> 0)::integer, date_trunc('second', now()), (s -> 1)::integer, (s -> 2)::bigint, s -> 3 FROM jsonb_array_elements($1::jsonb) s
ORDER BY 1
ON CONFLICT (poll_id, at) DO UPDATE SET epoch = excluded.epoch, version = excluded.version, counts = excluded.counts
WHERE (h.epoch, h.version) < (excluded.epoch, excluded.version)`,
}
