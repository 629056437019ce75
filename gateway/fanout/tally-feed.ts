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
  follow(slug: string): Promise<FollowOutcome>
  /** Whether it is sure to hear the poll's news already. */
  isFollowing(slug: string): boolean
  /** When a backend last read the database, ms since the epoch. */
  readonly sourceAt: number | undefined
  /** Reconciles until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>
}

export interface TallyFeedOptions {
  readonly bus: TallyBus
  readonly hub: Hub
  /** Asks a backend for a poll; undefined when there is none of that name. Rejects when no backend answers. */
  readonly ask: (slug: string) => Promise<Snapshot | undefined>
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
  const join = async (slug: string): Promise<FollowOutcome> => {
    let unsubscribe: (() => void) | undefined
    try {
      unsubscribe = await bus.subscribe(slug, hub.apply)
      await read([slug])
    } catch (error) {
      log.debug({ poll: slug, err: error }, 'the bus cannot say')
    }
    if (hub.snapshot(slug) === undefined) {
      try {
        const snapshot = await ask(slug)
        if (snapshot === undefined) {
          unsubscribe?.()
          return 'unknown'
        }
        hub.apply(snapshot)
      } catch (error) {
        log.debug({ poll: slug, err: error }, 'no backend can say')
        unsubscribe?.()
        return 'unavailable'
      }
    }
    followed.set(slug, { unsubscribe, watchedAt: clock.now() })
    return 'following'
  }

  const read = async (slugs: readonly string[]) => {
    const kept = await bus.latest(slugs)
    sourceAt = kept.sourceAt ?? sourceAt
    for (const snapshot of kept.snapshots.values()) hub.apply(snapshot)
    return kept
  }

  const reconcile = async () => {
    const now = clock.now()
    for (const [slug, entry] of followed) {
      if (hub.isWatched(slug)) entry.watchedAt = now
      else if (now - entry.watchedAt >= FORGET_AFTER_MS) {
        entry.unsubscribe?.()
        followed.delete(slug)
        hub.forget(slug)
      }
    }
    await Promise.all(
      [...followed].map(async ([slug, entry]) => {
        entry.unsubscribe ??= await bus.subscribe(slug, hub.apply)
      }),
    )
    const kept = await read([...followed.keys()])
    // while the bus is being filled again after it forgot everything, absence means nothing
    if (kept.sourceAt !== undefined)
      await Promise.all([...followed.keys()].filter((slug) => !kept.snapshots.has(slug)).map(endIfGone))
  }

  /** Only the database knows whether a poll is gone. */
  const endIfGone = async (slug: string) => {
    if ((await ask(slug)) !== undefined) return
    followed.get(slug)?.unsubscribe?.()
    followed.delete(slug)
    hub.end(slug)
  }

  return {
    get sourceAt() {
      return sourceAt
    },
    isFollowing: (slug) => followed.has(slug),
    async follow(slug) {
      if (followed.has(slug)) return 'following'
      // a crowd that arrives for the same poll at once asks once
      const pending = joining.get(slug) ?? join(slug).finally(() => joining.delete(slug))
      joining.set(slug, pending)
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
