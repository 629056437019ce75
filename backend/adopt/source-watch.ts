/** Notices when the table that a poll counts is gone, or counted no more: the poll would keep its last count without a word. */
import { wait } from '../../shared/lifecycle/clock.ts'
import type { CheckResult } from '../../shared/lifecycle/probes.ts'
import { createRetryGuard } from '../../shared/lifecycle/retry-guard.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import type { Queryable } from '../database/database.ts'

export interface SourceWatch {
  /** Looks every few seconds until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>
  /** Whether the poll counts a table that is gone, or counted no more, as last seen. */
  isGone(slug: string): boolean
  /** Not well while a poll that is not closed has lost its table. */
  readonly health: CheckResult
}

export interface SourceWatchOptions {
  readonly database: Queryable
  readonly log: Log
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** How often to look. Default 5 000. */
  readonly everyMs?: number
}

/** A look that has not ended after so long, in ms, is given up. */
const LOOK_MS = 6_000

interface LostSource {
  readonly slug: string
  readonly source: string
  readonly is_closed: boolean
  /** No table has the name; otherwise there is one, without the trigger or the column. */
  readonly is_gone: boolean
}

export function createSourceWatch({ database, log, now, everyMs = 5_000 }: SourceWatchOptions): SourceWatch {
  let lost: ReadonlyMap<string, LostSource> = new Map()
  const retry = createRetryGuard({
    log,
    now,
    begins: 'it is not known whether the tables that polls count are there',
    ends: 'it is known again whether the tables that polls count are there',
    boundMs: LOOK_MS,
  })
  const look = async () => {
    const rows = await database.query<LostSource>(LOST)
    const found = new Map(rows.map((row) => [row.slug, row]))
    for (const [slug, row] of found) {
      if (!lost.has(slug)) log.warn({ poll: slug, table: row.source }, `the poll keeps its last count, since ${saying(row)}`)
    }
    for (const [slug, { source }] of lost) {
      if (!found.has(slug)) log.info({ poll: slug, table: source }, 'the poll has its table again, or needs none any more')
    }
    lost = found
  }
  return {
    async run(signal) {
      while (!signal.aborted) {
        await retry.guard(look)
        await wait(Math.max(everyMs, retry.retryAt - now()), signal)
      }
    },
    isGone: (slug) => lost.has(slug),
    get health() {
      const {
        error = [...lost.values()]
          .filter((row) => !row.is_closed)
          .map((row) => `${row.slug}: ${saying(row)}`)
          .join('; '),
      } = retry
      return error === '' ? { ok: true, at: retry.at } : { ok: false, at: retry.at, error }
    },
  }
}

function saying({ source, is_gone: isGone }: LostSource): string {
  return isGone ? `the table ${source} is gone` : `the table ${source} is not counted any more`
}

/** A table that was renamed goes on being counted, so the trigger is looked for, and not the name. */
const LOST = {
  name: 'lost sources',
  text: `
SELECT p.slug, p.source ->> 'table' AS source, p.state = 'closed' AS is_closed, to_regclass(p.source ->> 'table') IS NULL AS is_gone
FROM livetally.polls p WHERE p.source IS NOT NULL AND NOT EXISTS (
  SELECT FROM pg_trigger t JOIN pg_attribute a ON a.attrelid = t.tgrelid
  WHERE t.tgname = 'livetally_poll_' || p.id || '_after_insert' AND t.tgenabled IN ('O', 'A')
    AND a.attname = p.source ->> 'optionColumn' AND NOT a.attisdropped)
ORDER BY p.slug`,
}
