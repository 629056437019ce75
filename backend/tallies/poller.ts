/** Reads what has changed in the database and offers the tallies to the bus, over and over. */
import { type Clock, wait } from '../../shared/lifecycle/clock.ts'
import type { TallyBus } from '../../shared/bus/tally-bus.ts'
import type { Snapshot } from '../../shared/protocol/frames.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import { createRetryGuard, type RetryGuard } from '../../shared/lifecycle/retry-guard.ts'
import { isNewer } from '../../shared/protocol/order.ts'
import type { TallyReader } from './tally-reader.ts'

/** What became of the last try of a stage. */
export interface StageHealth {
  readonly ok: boolean
  /** When it last succeeded, in monotonic ms; undefined before the first time. */
  readonly at: number | undefined
  readonly error?: string
}

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
  readonly bus: Pick<TallyBus, 'admit' | 'forget' | 'heartbeat' | 'keep'>
  readonly log: Log
  readonly clock: Pick<Clock, 'now' | 'date'>
  /** Called when a stage was given up and begun again since it had not ended within `STAGE_MS`. */
  readonly onStuck?: (stage: 'read' | 'publish') => void
  /** Time between reads when `wake` is not called, which is how late another program's votes are seen. Default 50. */
  readonly intervalMs?: number
  /** Publications of one poll at most. Default 20. */
  readonly maxPerSecond?: number
}

const HEARTBEAT_MS = 1_000
/** How often what the bus keeps is compared with what is known: a Redis that came back older differs, and says nothing. */
const COMPARE_MS = 4_000
/**
 * A stage that has not ended after so long, in ms, is begun again. What it waits for has shorter bounds of its own; this one holds
 * where they fail.
 */
const STAGE_MS = 3_000
/** Time between reads at least, however often `wake` is called. */
const READ_GAP_MS = 5
/** Snapshots offered to the bus, and polls forgotten by it, at a time. */
const ADMIT_AT_ONCE = 100
/** Polls compared with the bus at a time. */
const COMPARE_AT_ONCE = 500

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
    boundMs: STAGE_MS,
    onStuck: () => onStuck('read'),
  })
  const publishing = createRetryGuard({
    log,
    now,
    begins: 'tallies cannot be published',
    ends: 'tallies are published again',
    boundMs: STAGE_MS,
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
        await bus.admit(snapshot)
        if (pending.get(slug) === snapshot) pending.delete(slug)
      }),
    )
    const failed = offered.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  const publish = async (due: (slug: string) => boolean) => {
    await publishing.guard(async () => {
      if (now() >= nextHeartbeatAt && readDate !== undefined && reading.error === undefined) {
        // a bus that has lost everything is filled again at once
        if (!(await bus.heartbeat(readDate))) nextCompareAt = now()
        nextHeartbeatAt = now() + HEARTBEAT_MS
      }
      if (now() >= nextCompareAt) {
        await compare()
        nextCompareAt = now() + COMPARE_MS
      }
      for (const [slug, at] of offeredAt) if (now() >= at + spacingMs) offeredAt.delete(slug)
      const batch = [...pending].filter(([slug]) => due(slug))
      for (let i = 0; i < batch.length; i += ADMIT_AT_ONCE) await offer(batch.slice(i, i + ADMIT_AT_ONCE))
      const gone = [...removed]
      for (let i = 0; i < gone.length; i += ADMIT_AT_ONCE) await forget(gone.slice(i, i + ADMIT_AT_ONCE))
    })
  }

  /** Offers what the bus lacks or keeps in an older version, and makes it keep the rest. */
  const compare = async () => {
    const known = store.known()
    for (let i = 0; i < known.length; i += COMPARE_AT_ONCE) {
      const some = known.slice(i, i + COMPARE_AT_ONCE)
      const kept = await bus.keep(some.map(({ tally }) => tally.poll))
      for (const snapshot of some) {
        const { poll: slug } = snapshot.tally
        if (isNewer(snapshot.tally, kept.get(slug)) && !pending.has(slug)) pending.set(slug, snapshot)
      }
    }
  }

  /** Every replica does this, since each may have offered the poll after another one had it forgotten. */
  const forget = async (batch: readonly (readonly [string, number])[]) => {
    await Promise.all(batch.map(async ([slug, epoch]) => await bus.forget(slug, epoch)))
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
      if (publishing.error === undefined) await publish(() => true)
    },
    get reading() {
      return healthOf(reading)
    },
    get publishing() {
      return healthOf(publishing)
    },
  }
}

function healthOf({ error, at }: RetryGuard): StageHealth {
  return { ok: error === undefined && at !== undefined, at, ...(error === undefined ? {} : { error }) }
}
