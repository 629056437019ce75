/** Reads what has changed in the database and offers the tallies to the bus, over and over. */
import { wait } from '../../shared/lifecycle/clock.ts'
import type { TallyBus } from '../../shared/bus/tally-bus.ts'
import type { Snapshot } from '../../shared/protocol/frames.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import { createRetryGuard } from '../../shared/lifecycle/retry-guard.ts'
import type { TallyReader } from './tally-reader.ts'

export interface PollerHealth {
  readonly ok: boolean
  /** When the database was last read, ms since the epoch; undefined before the first time. */
  readonly at: number | undefined
  readonly error?: string
}

export interface Poller {
  /** To be called after a commit: the poller reads now rather than at the next interval. */
  wake(): void
  /** Works until the signal aborts, then reads and publishes once more. Never rejects. */
  run(signal: AbortSignal): Promise<void>
  readonly health: PollerHealth
}

export interface PollerOptions {
  readonly store: Pick<TallyReader, 'readChanges' | 'takeRemoved' | 'known'> & Partial<Pick<TallyReader, 'recordHistory'>>
  readonly bus: Pick<TallyBus, 'admit' | 'forget' | 'heartbeat'>
  readonly log: Log
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Opens and closes polls whose time has come; called four times a second. */
  readonly advance?: () => Promise<void>
  /** Time between reads when `wake` is not called, which is how late another program's votes are seen. Default 50. */
  readonly intervalMs?: number
  /** Publications of one poll at most. Default 20. */
  readonly maxPerSecond?: number
}

const ADVANCE_MS = 250
const HEARTBEAT_MS = 1_000
const RECORD_MS = 1_000
/** Time between reads at least, however often `wake` is called. */
const READ_GAP_MS = 5
/** Snapshots offered to the bus, and polls forgotten by it, at a time. */
const ADMIT_AT_ONCE = 100

export function createPoller(options: PollerOptions): Poller {
  const { store, bus, now, log } = options
  const intervalMs = options.intervalMs ?? 50
  const spacingMs = 1_000 / (options.maxPerSecond ?? 20)
  const database = createRetryGuard(log, now, 'the database cannot be read', 'the database can be read again')
  const publishing = createRetryGuard(log, now, 'tallies cannot be published', 'tallies are published again')
  /** By slug, the newest snapshot of each poll that was read and is not yet published. */
  const pending = new Map<string, Snapshot>()
  /** By slug, in which epoch a poll was removed that the bus may still keep. */
  const removed = new Map<string, number>()
  /** By slug, when a poll was last offered to the bus; deleted once it may be offered again. */
  const offeredAt = new Map<string, number>()
  let lastReadAt: number | undefined
  let nextReadAt = 0
  let nextAdvanceAt = 0
  let nextHeartbeatAt = 0
  let nextRecordAt = 0
  /** `wake` was called since the last read began. */
  let wanted = false
  let endPause: (() => void) | undefined

  const read = async () => {
    wanted = false
    await database.guard(async () => {
      const at = now()
      if (options.advance !== undefined && at >= nextAdvanceAt) {
        nextAdvanceAt = at + ADVANCE_MS
        await options.advance()
      }
      const changed = await store.readChanges()
      for (const [slug, epoch] of store.takeRemoved()) {
        pending.delete(slug)
        removed.set(slug, Math.max(epoch, removed.get(slug) ?? 0))
      }
      for (const snapshot of changed) pending.set(snapshot.tally.poll, snapshot)
      lastReadAt = at
      if (at >= nextRecordAt) {
        nextRecordAt = at + RECORD_MS
        await store.recordHistory?.()
      }
    })
    nextReadAt = Math.max((lastReadAt ?? 0) + (wanted ? READ_GAP_MS : intervalMs), database.retryAt)
  }

  const offer = async (batch: readonly (readonly [string, Snapshot])[]) => {
    const offered = await Promise.allSettled(
      batch.map(async ([slug, snapshot]) => {
        offeredAt.set(slug, now())
        await bus.admit(snapshot)
        pending.delete(slug)
      }),
    )
    const failed = offered.find((result) => result.status === 'rejected')
    if (failed !== undefined) throw failed.reason
  }

  const publish = async (due: (slug: string) => boolean) => {
    await publishing.guard(async () => {
      if (now() >= nextHeartbeatAt && lastReadAt !== undefined && database.error === undefined) {
        if (!(await bus.heartbeat(lastReadAt))) {
          // the bus has lost what it kept: every known snapshot is offered again, unless a newer one is pending
          for (const snapshot of store.known()) {
            if (!pending.has(snapshot.tally.poll)) pending.set(snapshot.tally.poll, snapshot)
          }
        }
        nextHeartbeatAt = now() + HEARTBEAT_MS
      }
      for (const [slug, at] of offeredAt) if (now() >= at + spacingMs) offeredAt.delete(slug)
      const batch = [...pending].filter(([slug]) => due(slug))
      for (let i = 0; i < batch.length; i += ADMIT_AT_ONCE) await offer(batch.slice(i, i + ADMIT_AT_ONCE))
      const gone = [...removed]
      for (let i = 0; i < gone.length; i += ADMIT_AT_ONCE) await forget(gone.slice(i, i + ADMIT_AT_ONCE))
    })
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
      if (database.error !== undefined) return
      nextReadAt = Math.min(nextReadAt, (lastReadAt ?? 0) + READ_GAP_MS)
      endPause?.()
    },
    run: async (signal) => {
      signal.addEventListener('abort', () => endPause?.(), { once: true })
      while (!signal.aborted) {
        if (now() >= nextReadAt) await read()
        if (now() >= publishing.retryAt) await publish((slug) => !offeredAt.has(slug))
        if (!signal.aborted) await pause(nextAt() - now())
      }
      nextRecordAt = 0
      await read()
      await publish(() => true)
    },
    get health() {
      const { error } = database
      return { ok: error === undefined && lastReadAt !== undefined, at: lastReadAt, ...(error === undefined ? {} : { error }) }
    },
  }
}
