/** Reads tallies from the database: all of them, or those that changed since the last read (docs/adr/0011). */
import type { Snapshot } from '../../shared/protocol/frames.ts'
import type { Database, Queryable, Session } from '../database/database.ts'
import { recordHistory } from './history.ts'
import { POLL_JSON, allCountedPolls, msOf, countedPoll, countedPolls } from './tally-queries.ts'
import { type Counter, type TalliedPoll, snapshotOf } from './tally.ts'

export interface TallyReader {
  /**
   * What changed since the last call: everything at first, and again after the connection was lost. Its cost depends neither on
   * polls that did not change nor on the number of ballots. A call that begins while another waits replaces it: the other rejects.
   */
  readChanges(): Promise<Snapshot[]>
  /** By slug, in which epoch each poll was removed that `readChanges` has found removed since the last call. */
  takeRemoved(): ReadonlyMap<string, number>
  /** Every poll as of the last `readChanges`, from memory. */
  known(): Snapshot[]
  /** Records the counts of the polls that changed since the last call, for their history. By default it uses the pool. */
  recordHistory(connection?: Queryable): Promise<void>
  /** Reads one poll from the database. `revealed`: for a voter who has voted, to whom `after-vote` shows the counts. */
  read(slug: string, options?: { readonly revealed?: boolean }): Promise<Snapshot | undefined>
  /** Reads all polls from the database. */
  readAll(): Promise<Snapshot[]>
  close(): Promise<void>
}

/**
 * Server settings of the reader's connection. Its statement is planned once. A plan made without the cursor expects many new rows
 * and would read whole tables, so only bitmap scans are allowed, which only the index on the transaction id serves (docs/adr/0011).
 */
const ONE_PLAN = { plan_cache_mode: 'force_generic_plan', enable_seqscan: 'off', enable_indexscan: 'off', jit: 'off' }

interface KnownPoll {
  poll: TalliedPoll
  /** By option and slot. */
  readonly counters: Map<string, Counter>
  snapshot: Snapshot
}

export function createTallyReader(database: Database): TallyReader {
  let session: Session | undefined
  let polls = new Map<number, KnownPoll>()
  /** The last read found nothing. */
  let quiet = false
  /** Changed since the last sample of the history. */
  const unrecorded = new Set<number>()
  /** By slug, in which epoch a poll was removed since the last `takeRemoved`. */
  let removed = new Map<string, number>()
  /** What was known when the connection was lost, until everything is read again. */
  let before: Snapshot[] = []
  /** What the last read saw of the running transactions; undefined before the first read. */
  let cursor: Cursor | undefined

  /** The calls of `readChanges` so far; only the last one may change what is known. */
  let calls = 0
  let isReading = false

  /** A name may have been removed several times. */
  const noteRemoved = (slug: string, epoch: number) => removed.set(slug, Math.max(epoch, removed.get(slug) ?? 0))

  const knownSnapshots = () => [...polls.values()].map(({ snapshot }) => snapshot)

  /** Closes the connection and forgets the tallies, and resolves once the connection is closed. */
  const forget = async () => {
    const old = session
    session = undefined
    cursor = undefined
    if (polls.size > 0) before = knownSnapshots()
    polls = new Map()
    await old?.close().catch(() => {})
  }

  const open = async (isCurrent: () => void): Promise<Session> => {
    if (session !== undefined && !session.lost) return session
    void forget()
    const fresh = await database.openSession({ label: 'poller', settings: ONE_PLAN })
    try {
      isCurrent()
    } catch (error) {
      void fresh.close().catch(() => {})
      throw error
    }
    return (session = fresh)
  }

  /** `isCurrent` throws when another call has replaced this one. */
  const readChanges = async (isCurrent: () => void): Promise<Snapshot[]> => {
    const connection = await open(isCurrent)
    const first = cursor === undefined
    if (quiet && cursor !== undefined) {
      // the same snapshot as at the last read: no writing transaction has begun or ended since, so nothing can have changed
      const [row] = await connection.query<{ now: string }>(NOW_ALONE)
      isCurrent()
      if (observed(connection, row?.now).text === cursor.text) return []
    }
    const changed = new Set<number>()
    const toReload = new Set<number>()
    const rows = await changesSince(connection, cursor)
    isCurrent()
    for (const row of rows) {
      switch (row.kind) {
        case 'now':
          cursor = observed(connection, row.detail)
          break
        case 'removed': {
          polls.delete(row.poll_id)
          const { slug, epoch }: { slug: string; epoch: number } = JSON.parse(row.detail)
          noteRemoved(slug, epoch)
          break
        }
        case 'poll': {
          const poll: TalliedPoll = JSON.parse(row.detail)
          const known = polls.get(poll.id)
          if (known !== undefined && known.poll.epoch === poll.epoch) known.poll = poll
          else if (first) polls.set(poll.id, knownPoll(poll, []))
          // counters may have been written before the cursor, or deleted: all of the poll's counters are read again
          else toReload.add(poll.id)
          changed.add(poll.id)
          break
        }
        case 'counter':
          polls.get(row.poll_id)?.counters.set(`${row.slot} ${row.option}`, counterOf(row))
          changed.add(row.poll_id)
          break
      }
    }
    if (toReload.size > 0) {
      const reloaded = await countedPolls(connection, toReload)
      isCurrent()
      for (const { poll, counters } of reloaded) polls.set(poll.id, knownPoll(poll, counters))
    }
    quiet = changed.size === 0
    if (first) {
      // a poll that was made in what another database has lost; an earlier one of its name may have been removed there
      const slugs = new Set([...polls.values()].map(({ poll }) => poll.slug))
      for (const { tally } of before) if (!slugs.has(tally.poll)) noteRemoved(tally.poll, tally.epoch)
      before = []
    }
    const news: Snapshot[] = []
    for (const id of changed) {
      const known = polls.get(id)
      if (known === undefined) continue
      const snapshot = snapshotOf(known.poll, known.counters.values())
      const same = !first && !toReload.has(id) && snapshot.tally.version === known.snapshot.tally.version
      known.snapshot = snapshot
      if (same) continue
      news.push(snapshot)
      if (!first) unrecorded.add(id)
    }
    return news
  }

  return {
    readChanges: async () => {
      if (isReading) void forget()
      isReading = true
      calls += 1
      const call = calls
      const isCurrent = () => {
        if (call !== calls) throw new Error('another call has replaced this one')
      }
      try {
        return await readChanges(isCurrent)
      } catch (error) {
        // a part of the changes may be merged, and the next connection may lead to another database: everything is read again
        if (call === calls) void forget()
        throw error
      } finally {
        if (call === calls) isReading = false
      }
    },
    takeRemoved: () => {
      const taken = removed
      removed = new Map()
      return taken
    },
    known: knownSnapshots,
    recordHistory: async (connection = database) => {
      const ids = [...unrecorded]
      const samples = ids.flatMap((id) => {
        const known = polls.get(id)
        if (known === undefined) return []
        const { poll, counters, snapshot } = known
        return [{ poll, counters: counters.values(), version: snapshot.tally.version }]
      })
      unrecorded.clear()
      try {
        await recordHistory(connection, samples)
      } catch (error) {
        for (const id of ids) unrecorded.add(id)
        throw error
      }
    },
    read: async (slug, options) => {
      const known = await countedPoll(database, slug)
      return known === undefined ? undefined : snapshotOf(known.poll, known.counters, options?.revealed)
    },
    readAll: async () => (await allCountedPolls(database)).map(({ poll, counters }) => snapshotOf(poll, counters)),
    close: () => {
      // a call under way must not leave a fresh connection behind
      calls += 1
      return forget()
    },
  }
}

/** From a pg_snapshot: the transactions from `xmax` on, and those `running` below it, were not yet visible. */
interface Cursor {
  readonly text: string
  readonly xmax: string
  /** Comma-separated. */
  readonly running: string
}

/** Takes note of what a read saw of its server, from the result of `NOW`. Throws `DatabaseUnavailable` if that takes no writes any more. */
function observed(connection: Session, now = ''): Cursor {
  // a snapshot is `xmin:xmax:running,running,…`
  const [text = '', lsn = '', readOnly] = now.split(' ')
  const [, xmax, running] = text.split(':')
  if (xmax === undefined || running === undefined) throw new Error(`not a pg_snapshot: ${text}`)
  connection.observe({ lsn, isReadOnly: readOnly !== 'off' })
  return { text, xmax, running }
}

function knownPoll(poll: TalliedPoll, counters: readonly Counter[]): KnownPoll {
  return {
    poll,
    counters: new Map(counters.map((counter) => [`${counter.slot} ${counter.option}`, counter])),
    snapshot: snapshotOf(poll, counters),
  }
}

function counterOf(row: CounterRow): Counter {
  return { option: row.option, slot: row.slot, n: Number(row.n), ver: Number(row.ver), changedAt: Number(row.changed_at) }
}

interface CounterRow {
  readonly kind: 'counter'
  readonly poll_id: number
  readonly option: string
  readonly slot: number
  readonly n: string
  readonly ver: string
  readonly changed_at: string
}

type ChangeRow =
  | CounterRow
  | { readonly kind: 'now'; readonly detail: string }
  | { readonly kind: 'poll'; readonly detail: string }
  | { readonly kind: 'removed'; readonly poll_id: number; readonly detail: string }

/** The snapshot of the statement, how far the log was flushed then or a moment later, and whether the server is read-only. */
const NOW = `concat_ws(' ', pg_current_snapshot(), pg_current_wal_flush_lsn(), current_setting('transaction_read_only'))`
const NOW_ALONE = { name: 'now', text: `SELECT ${NOW} AS now` }

/**
 * Reads the rows whose last writer the previous read could not see: a later transaction, or one that was still running then, however
 * long it took to commit. The same statement, and so the same snapshot, returns the cursor of the next read (docs/adr/0011).
 */
async function changesSince(connection: Session, cursor: Cursor | undefined): Promise<ChangeRow[]> {
  const { xmax, running } = cursor ?? { xmax: '0', running: '' }
  const rows = await (running === ''
    ? connection.query<ChangeRow>(LATER, [xmax])
    : connection.query<ChangeRow>(LATER_OR_RUNNING, [xmax, `{${running}}`]))
  // sorted here, since an ORDER BY would make reading one change slower (bench/results/data.md)
  return rows.toSorted((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind))
}

/** In the order in which they are merged: a counter needs its poll. */
const KINDS: readonly ChangeRow['kind'][] = ['now', 'removed', 'poll', 'counter']

const changes = (isNew: (xid: string) => string) => `
SELECT 'now' AS kind, NULL::integer AS poll_id, NULL::text AS option, NULL::smallint AS slot, NULL::bigint AS n, NULL::bigint AS ver,
  NULL::bigint AS changed_at, ${NOW} AS detail
UNION ALL SELECT 'removed', r.poll_id, NULL, NULL, NULL, NULL, NULL, json_build_object('slug', r.slug, 'epoch', r.epoch)::text
FROM livetally.removed_polls r WHERE ${isNew('r.xid')}
UNION ALL SELECT 'poll', p.id, NULL, NULL, NULL, NULL, NULL, ${POLL_JSON}::text FROM livetally.polls p WHERE ${isNew('p.xid')}
UNION ALL SELECT 'counter', c.poll_id, c.option, c.slot, c.n, c.ver, ${msOf('c.changed_at')}, NULL
FROM livetally.counters c WHERE ${isNew('c.xid')}`

const LATER = { name: 'later', text: changes((xid) => `${xid} >= $1::xid8`) }
const LATER_OR_RUNNING = {
  name: 'later or running',
  text: changes((xid) => `${xid} >= $1::xid8 OR ${xid} = ANY ($2::xid8[])`),
}
