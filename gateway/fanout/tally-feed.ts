/** Where the hub's tallies come from: news by subscription, a look at what is kept every two seconds, the backend as a last resort. */
import type { Snapshot } from '../../shared/protocol/frames.ts'
import type { TallyBus } from '../../shared/bus/tally-bus.ts'
import type { Clock } from '../../shared/lifecycle/clock.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import type { Hub } from './hub.ts'

/** `unavailable`: neither the bus nor a backend can say whether there is such a poll. */
export type FollowOutcome = 'following' | 'unknown' | 'unavailable'

export interface TallyFeed {
  /** Makes sure that the hub knows the poll and hears its news. */
  follow(poll: string): Promise<FollowOutcome>
  /** Whether it is sure to hear the poll's news already. */
  isFollowing(poll: string): boolean
  /** When a backend last read the database, ms since the epoch. */
  readonly sourceAt: number | undefined
  /** Reconciles until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>
}

export interface TallyFeedOptions {
  readonly bus: TallyBus
  readonly hub: Hub
  /** Asks a backend for a poll; undefined when there is none of that name. Rejects when no backend answers. */
  readonly ask: (poll: string) => Promise<Snapshot | undefined>
  readonly clock: Clock
  readonly log: Log
}

const RECONCILE_MS = 2_000
/** A poll nobody has watched for so long is let go. */
const FORGET_AFTER_MS = 30_000

interface Followed {
  /** Undefined while the bus could not be reached: the next look tries again. */
  unsubscribe: (() => void) | undefined
  watchedAt: number
}

export function createTallyFeed({ bus, hub, ask, clock, log }: TallyFeedOptions): TallyFeed {
  const followed = new Map<string, Followed>()
  const joining = new Map<string, Promise<FollowOutcome>>()
  let sourceAt: number | undefined

  /** Subscribes first and reads then, so that nothing falls between; what comes twice is dropped by the hub. */
  const join = async (poll: string): Promise<FollowOutcome> => {
    let unsubscribe: (() => void) | undefined
    try {
      unsubscribe = await bus.subscribe(poll, hub.apply)
      await read([poll])
    } catch (error) {
      log.debug({ poll, err: error }, 'the bus cannot say')
    }
    if (hub.snapshot(poll) === undefined) {
      try {
        const snapshot = await ask(poll)
        if (snapshot === undefined) {
          unsubscribe?.()
          return 'unknown'
        }
        hub.apply(snapshot)
      } catch (error) {
        log.debug({ poll, err: error }, 'no backend can say')
        unsubscribe?.()
        return 'unavailable'
      }
    }
    followed.set(poll, { unsubscribe, watchedAt: clock.now() })
    return 'following'
  }

  const read = async (polls: readonly string[]) => {
    const kept = await bus.latest(polls)
    sourceAt = kept.sourceAt ?? sourceAt
    for (const snapshot of kept.snapshots.values()) hub.apply(snapshot)
    return kept
  }

  const reconcile = async () => {
    const now = clock.now()
    for (const [poll, entry] of followed) {
      if (hub.isWatched(poll)) entry.watchedAt = now
      else if (now - entry.watchedAt >= FORGET_AFTER_MS) {
        entry.unsubscribe?.()
        followed.delete(poll)
        hub.forget(poll)
      }
    }
    await Promise.all(
      [...followed].map(async ([poll, entry]) => {
        entry.unsubscribe ??= await bus.subscribe(poll, hub.apply)
      }),
    )
    const kept = await read([...followed.keys()])
    // while the bus is being filled again after it forgot everything, absence means nothing
    if (kept.sourceAt !== undefined)
      await Promise.all([...followed.keys()].filter((poll) => !kept.snapshots.has(poll)).map(endIfGone))
  }

  /** Only the database knows whether a poll is gone. */
  const endIfGone = async (poll: string) => {
    if ((await ask(poll)) !== undefined) return
    followed.get(poll)?.unsubscribe?.()
    followed.delete(poll)
    hub.end(poll)
  }

  return {
    get sourceAt() {
      return sourceAt
    },
    isFollowing: (poll) => followed.has(poll),
    async follow(poll) {
      if (followed.has(poll)) return 'following'
      // a crowd that arrives for the same poll at once asks once
      const pending = joining.get(poll) ?? join(poll).finally(() => joining.delete(poll))
      joining.set(poll, pending)
      return await pending
    },
    async run(signal) {
      while (!signal.aborted) {
        try {
          await reconcile()
        } catch (error) {
          log.debug({ err: error }, 'nothing to reconcile with: the last known tallies stay')
        }
        await clock.wait(RECONCILE_MS, signal)
      }
    },
  }
}
