/** Counts the ballots again and compares them with the counters and with what was published; repairs counters that are wrong. */
import { wait } from '../../shared/lifecycle/clock.ts'
import type { TallyBus } from '../../shared/bus/tally-bus.ts'
import type { Snapshot } from '../../shared/protocol/frames.ts'
import { isNewer } from '../../shared/protocol/order.ts'
import { sqlState } from '../database/errors.ts'
import type { Database, Transaction } from '../database/database.ts'
import { allCountedPolls, type CountedPoll } from '../tallies/tally-queries.ts'
import { snapshotOf } from '../tallies/tally.ts'
import { type Recount, recountBallots, recountSource } from './recount.ts'

export interface VerifiedOption {
  readonly option: string
  /** Ballots found. */
  readonly ballots: number
  /** The sum of the counters, of the same snapshot. */
  readonly counted: number
}

/** How what the bus keeps compares with the counters. */
export type Published =
  /** The same version and the same content. */
  | 'same'
  /** A newer version: the poll has changed since the recount. */
  | 'newer'
  /** The same version with another content. */
  | 'different'
  /** An older version, or nothing, although there was time to publish: no backend is polling. */
  | 'behind'
  /** A version that the database had not reached when the recount began: it was set back, and screens ignore its tallies. */
  | 'ahead'
  /** No bus was given. */
  | 'not asked'

export interface VerifiedPoll {
  readonly slug: string
  readonly epoch: number
  readonly version: number
  readonly options: readonly VerifiedOption[]
  readonly published: Published
  /** The table of another program that the poll counts, where that or its column is gone: the counts are the last ones. */
  readonly goneSource: string | undefined
  /** Whether nothing differs. */
  readonly ok: boolean
}

export interface VerifyOptions {
  readonly database: Database
  readonly bus?: Pick<TallyBus, 'latest'>
  /** Of the polls to count; absent for all. Those without a poll are left out of the answer. */
  readonly slugs?: readonly string[]
  /** How long the bus may take to hold what was counted. Default 3 000. */
  readonly publishMs?: number
  /** Called with what is counted next. */
  readonly onProgress?: (what: string) => void
}

/** Recounts and reads the counters in one snapshot, so that votes committed meanwhile are in neither. */
export async function verify(options: VerifyOptions): Promise<VerifiedPoll[]> {
  const before = await kept(options)
  const counted = await options.database.withTransaction(async (transaction) => await countAgain(transaction, options), {
    isolation: 'repeatable read',
    unhurried: true,
  })
  const published = await comparePublished(counted, before, options)
  return counted.map((found) => {
    const { poll, counters } = found
    const { tally } = snapshotOf(poll, counters)
    const compared = compare(found)
    const news = published.get(poll.slug) ?? 'not asked'
    return {
      slug: poll.slug,
      epoch: tally.epoch,
      version: tally.version,
      options: compared,
      published: news,
      goneSource: found.goneSource,
      ok: compared.every((option) => option.ballots === option.counted) && !WRONG_NEWS.has(news),
    }
  })
}

const WRONG_NEWS: ReadonlySet<Published> = new Set(['behind', 'ahead', 'different'])

/**
 * Sets the counters to what a recount finds, unless the poll's source is gone, and starts a new epoch of the polls that were wrong, also of those of which the bus
 * holds a version that the database has not reached; returns their slugs.
 *
 * The repair adds the difference found in one snapshot to a slot that only repairs use: the triggers go on counting the votes that
 * come in meanwhile, and no writer waits for the recount. One repair runs at a time; TRUNCATE waits for it.
 */
export async function repair(options: Omit<VerifyOptions, 'publishMs'>): Promise<string[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      const before = await kept(options)
      return await options.database.withTransaction(async (transaction) => await correct(transaction, before, options), {
        isolation: 'repeatable read',
        unhurried: true,
      })
    } catch (error) {
      // a poll was edited while its ballots were counted
      if (sqlState(error) !== '40001' || attempt === 5) throw error
    }
  }
}

interface Counted extends CountedPoll {
  /** Empty where the source is gone. */
  readonly recount: Recount
  readonly goneSource: string | undefined
}

async function countAgain(transaction: Transaction, options: Pick<VerifyOptions, 'slugs' | 'onProgress'>): Promise<Counted[]> {
  const wanted = options.slugs === undefined ? undefined : new Set(options.slugs)
  const polls = (await allCountedPolls(transaction)).filter(({ poll }) => wanted?.has(poll.slug) ?? true)
  const own = polls.filter(({ poll }) => poll.source === null)
  options.onProgress?.(`counting the ballots of ${own.length} ${own.length === 1 ? 'poll' : 'polls'}`)
  const ballots = await recountBallots(transaction, wanted === undefined ? undefined : own.map(({ poll }) => poll.id))
  const counted: Counted[] = []
  for (const found of polls) {
    const { source, id } = found.poll
    if (source !== null) options.onProgress?.(`counting ${source.table}`)
    const recount = source === null ? (ballots.get(id) ?? NOTHING) : await recountSource(transaction, source)
    counted.push({ ...found, recount: recount ?? NOTHING, goneSource: recount === undefined ? source?.table : undefined })
  }
  return counted
}

const NOTHING: Recount = new Map()

function compare({ poll, counters, recount }: Counted): VerifiedOption[] {
  const counts = new Map<string, number>()
  for (const { option, n } of counters) counts.set(option, (counts.get(option) ?? 0) + n)
  const offered = poll.options.map((option) => option.id)
  // withdrawn options as well: their ballots are kept, and count again when the option comes back
  const withdrawn = [...counts.keys(), ...recount.keys()].filter((option) => !offered.includes(option))
  return [...new Set([...offered, ...withdrawn])]
    .map((option) => ({ option, ballots: recount.get(option) ?? 0, counted: counts.get(option) ?? 0 }))
    .filter(({ option, ballots, counted }) => offered.includes(option) || ballots !== 0 || counted !== 0)
}

type Kept = ReadonlyMap<string, Snapshot>

/** What the bus holds, read before the database's snapshot is taken: the snapshot must then be as new or newer. */
async function kept({ database, bus, slugs }: Pick<VerifyOptions, 'database' | 'bus' | 'slugs'>): Promise<Kept> {
  if (bus === undefined) return new Map()
  const asked =
    slugs ?? (await database.query<{ slug: string }>({ text: 'SELECT slug FROM livetally.polls' })).map(({ slug }) => slug)
  return (await bus.latest(asked)).snapshots
}

async function correct(
  transaction: Transaction,
  before: Kept,
  options: Pick<VerifyOptions, 'slugs' | 'onProgress'>,
): Promise<string[]> {
  // LOCK TABLE takes no snapshot, so the one that the recount takes sees what the repair before this one did
  await transaction.query({ text: 'LOCK TABLE livetally.origin IN SHARE ROW EXCLUSIVE MODE' })
  await transaction.query({ text: 'LOCK TABLE livetally.ballots IN ACCESS SHARE MODE' })
  const repaired: string[] = []
  for (const counted of await countAgain(transaction, options)) {
    // the last counts are all that is left of a table that is gone
    if (counted.goneSource !== undefined) continue
    const wrong = compare(counted).filter(({ ballots, counted: n }) => ballots !== n)
    const published = before.get(counted.poll.slug)?.tally
    const ahead = published !== undefined && isNewer(published, snapshotOf(counted.poll, counted.counters).tally)
    if (wrong.length === 0 && !ahead) continue
    for (const { option, ballots, counted: n } of wrong) {
      await transaction.query(CORRECT, [counted.poll.id, option, ballots - n])
    }
    await transaction.query({ text: 'UPDATE livetally.polls SET epoch = greatest(epoch, $2) + 1 WHERE id = $1' }, [
      counted.poll.id,
      published?.epoch ?? 0,
    ])
    repaired.push(counted.poll.slug)
  }
  return repaired
}

async function comparePublished(
  counted: readonly Counted[],
  before: Kept,
  { bus, publishMs = 3_000 }: VerifyOptions,
): Promise<ReadonlyMap<string, Published>> {
  const published = new Map<string, Published>()
  if (bus === undefined) return published
  const deadline = performance.now() + publishMs
  for (;;) {
    const { snapshots } = await bus.latest(counted.map(({ poll }) => poll.slug))
    for (const { poll, counters } of counted) {
      const { tally } = snapshotOf(poll, counters)
      const [news, older] = [snapshots.get(poll.slug)?.tally, before.get(poll.slug)?.tally]
      if (older !== undefined && isNewer(older, tally)) published.set(poll.slug, 'ahead')
      else if (news === undefined || isNewer(tally, news)) published.set(poll.slug, 'behind')
      else if (isNewer(news, tally)) published.set(poll.slug, 'newer')
      else published.set(poll.slug, canonical(news) === canonical(tally) ? 'same' : 'different')
    }
    if (![...published.values()].includes('behind') || performance.now() > deadline) return published
    await wait(100)
  }
}

function canonical({ counts, total, at }: { counts?: Record<string, number> | undefined; total: number; at: string }): string {
  const sorted = counts === undefined ? null : Object.entries(counts).toSorted(([a], [b]) => (a < b ? -1 : 1))
  return JSON.stringify([sorted, total, at])
}

/** Only repairs use slot 80. */
const CORRECT = {
  name: 'correct',
  text: `
INSERT INTO livetally.counters AS c (poll_id, option, slot, n, ver, xid, changed_at)
VALUES ($1, $2, 80, $3, 1, pg_current_xact_id(), clock_timestamp())
ON CONFLICT (poll_id, option, slot) DO UPDATE
SET n = c.n + excluded.n, ver = c.ver + 1, xid = excluded.xid, changed_at = excluded.changed_at`,
}
