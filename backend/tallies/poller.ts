/** Reads what has changed in the database and offers the tallies to the bus, over and over. */
import { type Clock, wait } from '../../shared/lifecycle/clock.ts'
import type { TallyBus } from '../../shared/bus/tally-bus.ts'
import type { Snapshot } from '../../shared/protocol/frames.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import { within } from '../../shared/lifecycle/within.ts'
import { createRetryGuard, healthOf, type StageHealth } from '../../shared/lifecycle/retry-guard.ts'
import { isNewer } from '../../shared/protocol/order.ts'
import type { TallyReader } from './tally-reader.ts'

export interface Poller {
  /** To be called after a commit: the poller reads now rather than at the next interval. */
  wake(): void
  /** Works until the signal aborts, then reads and publishes once more. Never rejects. */
  run(signal: AbortSignal): Promise<void>
  /** Of reading the database. */
  readonly reading: StageHealth
  /** Of offering what was read to the bus. */
  readonly publishing: StageHealth
}

export interface PollerOptions {
  readonly store: Pick<TallyReader, 'readChanges' | 'takeRemoved' | 'known'>
  readonly bus: Pick<TallyBus, 'admit' | 'forget' | 'heartbeat' | 'keep' | 'remember'>
  /** How far the database was seen, for the bus to remember; undefined where it cannot be another one. */
  readonly mark?: () => string | undefined
  readonly log: Log
  readonly clock: Pick<Clock, 'now' | 'date'>
  /** How long reading may take before it is begun again, in ms: longer than the database's own bounds. Default 6 000. */
  readonly readMs?: number
  /** Called when a stage hung and was given up. */
  readonly onStuck?: (stage: 'read' | 'publish') => void
  /** Time between reads when `wake` is not called, which is how late another program's votes are seen. Default 50. */
  readonly intervalMs?: number
  /** Publications of one poll at most. Default 20. */
  readonly maxPerSecond?: number
}

const HEARTBEAT_MS = 1_000
/** How often what the bus keeps is compared with what is known: a Redis that came back older differs, and says nothing. */
const COMPARE_MS = 4_000
/** What the bus has not answered after so long, in ms, is given up. It has shorter bounds of its own; this one holds where they fail. */
const ANSWER_MS = 3_000
/** Time between reads at least, however often `wake` is called. */
const READ_GAP_MS = 5
/** Snapshots offered to the bus, and polls forgotten by it, at a time. */
const ADMIT_AT_ONCE = 100
/** Snapshots offered before the database is read again, so that many polls do not hold up the tally of one. */
const ADMIT_PER_ROUND = 1_000
/** Polls compared with the bus in each round. */
const COMPARE_PER_ROUND = 250

/** The answer of the bus, or a rejection with `TimedOut`. */
function answer<T>(work: Promise<T>): Promise<T> {
  return within(ANSWER_MS, 'the bus has not answered', work)
}

export function createPoller(options: PollerOptions): Poller {
  const { store, bus, clock, log, onStuck = () => {} } = options
  const now = () => clock.now()
  const intervalMs = options.intervalMs ?? 50
  const spacingMs = 1_000 / (options.maxPerSecond ?? 20)
  const reading = createRetryGuard({
    log,
    now,
    begins: 'the database cannot be read',
    ends: 'the database can be read again',
    boundMs: options.readMs ?? 6_000,
    onStuck: () => onStuck('read'),
  })
  const publishing = createRetryGuard({
    log,
    now,
    begins: 'tallies cannot be published',
    ends: 'tallies are published again',
    onStuck: () => onStuck('publish'),
  })
  /** By slug, the newest snapshot of each poll that was read and is not yet published. */
  const pending = new Map<string, Snapshot>()
  /** By slug, in which epoch a poll was removed that the bus may still keep. */
  const removed = new Map<string, number>()
  /** By slug, when a poll was last offered to the bus; deleted once it may be offered again. */
  const offeredAt = new Map<string, number>()
  let nextReadAt = 0
  let nextHeartbeatAt = 0
  let nextCompareAt = 0
  /** The wall time of the last read. */
  let readDate: number | undefined
  /** What is still to be compared with the bus in this turn. */
  let uncompared: Snapshot[] = []
  /** `wake` was called since the last read began. */
  let wanted = false
  let endPause: (() => void) | undefined

  const read = async () => {
    wanted = false
    await reading.guard(async () => {
      const date = clock.date()
      const changed = await store.readChanges()
      for (const [slug, epoch] of store.takeRemoved()) {
        pending.delete(slug)
        removed.set(slug, Math.max(epoch, removed.get(slug) ?? 0))
      }
      for (const snapshot of changed) pending.set(snapshot.tally.poll, snapshot)
      readDate = date
    })
    nextReadAt = Math.max((reading.at ?? 0) + (wanted ? READ_GAP_MS : intervalMs), reading.retryAt)
  }

  const offer = async (batch: readonly (readonly [string, Snapshot])[]) => {
    const offered = await Promise.allSettled(
      batch.map(async ([slug, snapshot]) => {
        offeredAt.set(slug, now())
        await answer(bus.admit(snapshot))
        if (pending.get(slug) === snapshot) pending.delete(slug)
      }),
    )
    const failed = offered.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  const publish = async (due: (slug: string) => boolean, isLast = false) => {
    await publishing.guard(async () => {
      if (now() >= nextHeartbeatAt && readDate !== undefined && reading.error === undefined) {
        // a bus that has lost everything is filled again at once
        if (!(await answer(bus.heartbeat(readDate)))) nextCompareAt = now()
        nextHeartbeatAt = now() + HEARTBEAT_MS
        const mark = options.mark?.()
        // tallies do not wait for it, nor fail with it
        if (mark !== undefined) void bus.remember(mark).catch(() => {})
      }
      if (now() >= nextCompareAt) {
        nextCompareAt = now() + COMPARE_MS
        uncompared = store.known()
      }
      if (uncompared.length > 0) await compare(uncompared.splice(0, COMPARE_PER_ROUND))
      for (const [slug, at] of offeredAt) if (now() >= at + spacingMs) offeredAt.delete(slug)
      // what changed last goes first: while a bus is filled, polls that people watch do not wait for all others
      const batch = [...pending].filter(([slug]) => due(slug)).toReversed()
      if (!isLast) batch.splice(ADMIT_PER_ROUND)
      for (let i = 0; i < batch.length; i += ADMIT_AT_ONCE) await offer(batch.slice(i, i + ADMIT_AT_ONCE))
      const gone = [...removed]
      for (let i = 0; i < gone.length; i += ADMIT_AT_ONCE) await forget(gone.slice(i, i + ADMIT_AT_ONCE))
    })
  }

  /** Takes note of what the bus lacks or keeps in an older version, and makes it keep the rest. */
  const compare = async (some: readonly Snapshot[]) => {
    const kept = await answer(bus.keep(some.map(({ tally }) => tally.poll)))
    for (const snapshot of some) {
      const { poll: slug } = snapshot.tally
      if (isNewer(snapshot.tally, kept.get(slug)) && !pending.has(slug)) pending.set(slug, snapshot)
    }
  }

  /** Every replica does this, since each may have offered the poll after another one had it forgotten. */
  const forget = async (batch: readonly (readonly [string, number])[]) => {
    await Promise.all(batch.map(async ([slug, epoch]) => await answer(bus.forget(slug, epoch))))
    for (const [slug, epoch] of batch) if (removed.get(slug) === epoch) removed.delete(slug)
  }

  /** When the next read or publication is due, if `wake` is not called before. */
  const nextAt = () => {
    let at = nextReadAt
    if (pending.size + removed.size === 0) return at
    if (publishing.error !== undefined) return Math.min(at, publishing.retryAt)
    for (const slug of pending.keys()) at = Math.min(at, (offeredAt.get(slug) ?? 0) + spacingMs)
    return at
  }

  const pause = async (ms: number) => {
    if (ms <= 0) return
    const nap = new AbortController()
    endPause = () => nap.abort()
    await wait(ms, nap.signal)
    endPause = undefined
  }

  return {
    wake: () => {
      wanted = true
      // while the database does not answer, the retry guard sets the time of the next read
      if (reading.error !== undefined) return
      nextReadAt = Math.min(nextReadAt, (reading.at ?? 0) + READ_GAP_MS)
      endPause?.()
    },
    run: async (signal) => {
      signal.addEventListener('abort', () => endPause?.(), { once: true })
      while (!signal.aborted) {
        if (now() >= nextReadAt) await read()
        if (now() >= publishing.retryAt) await publish((slug) => !offeredAt.has(slug))
        if (!signal.aborted) await pause(nextAt() - now())
      }
      // what is not there when the process leaves is not waited for
      if (reading.error === undefined) await read()
      if (publishing.error === undefined) await publish(() => true, true)
    },
    get reading() {
      return healthOf(reading)
    },
    get publishing() {
      return healthOf(publishing)
    },
  }
}
