/**
 * Feeds the hub: subscribes to new snapshots on the bus, reads what the bus keeps every second, and asks a backend for a
 * poll that the bus does not know, and for all of them while the bus is away.
 */
import type { TallyBus } from '../../shared/bus/tally-bus.ts'
import type { Clock } from '../../shared/lifecycle/clock.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import { type AskAgain, createAskMeanwhile } from './ask-meanwhile.ts'
import { type Hub, SILENT_AFTER_MS } from './hub.ts'

/** `unavailable`: neither the bus nor a backend can say whether there is such a poll. */
export type FollowOutcome = 'following' | 'unknown' | 'unavailable'

export interface TallyFeed {
  /** Gives the hub the poll's newest snapshot and subscribes it to later ones. */
  follow(slug: string): Promise<FollowOutcome>
  /** Whether the poll is followed already, so that `follow` has nothing to do. */
  isFollowing(slug: string): boolean
  /**
   * When a backend last read the database, by that backend's wall clock, or when all polls were last asked for, by the own one (ms since
   * the epoch); before the first, when the feed began.
   */
  readonly sourceAt: number
  /**
   * How long ago, in ms, this gateway last saw a backend's sign of life change, or backends answered for all polls that sockets follow,
   * or how long ago the feed began. No two clocks are compared, so it is right however wrong they are.
   */
  sourceAgeMs(): number
  /** The same as a check: whether the source has given a sign of life within the last three seconds, and when the last one was. */
  readonly source: { readonly ok: boolean; readonly at: number }
  /** Reconciles until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void>
}

export interface TallyFeedOptions {
  readonly bus: TallyBus
  readonly hub: Hub
  readonly ask: AskAgain
  /** From 0 up to 1; by which gateways differ that ask the same backends. */
  readonly random?: () => number
  readonly clock: Clock
  readonly log: Log
}

const RECONCILE_MS = 1_000
/** How often it is looked at whether the bus is away, in ms. */
const LOOK_MS = 100
/** So long after it was last read, in ms, the bus counts as away. */
const OVERDUE_MS = RECONCILE_MS + 300
/** So long after it last worked, in ms, too: it is tried twice a second. */
const UNWELL_MS = 800
/** A source whose sign of life on the bus has not changed for so long, in ms, has missed one: the bus does not bring what backends publish. */
const QUIET_MS = 2_000
/** The feed stops following a poll that no socket has followed for so long, in ms. */
const FORGET_AFTER_MS = 30_000

interface Followed {
  /** Undefined when the bus could not be reached; the next `reconcile` subscribes again. */
  unsubscribe: (() => void) | undefined
  watchedAt: number
}

export function createTallyFeed({ bus, hub, ask, random = Math.random, clock, log }: TallyFeedOptions): TallyFeed {
  const followed = new Map<string, Followed>()
  const joining = new Map<string, Promise<FollowOutcome>>()
  /** Polls of which a backend is asked whether they are gone. */
  const asking = new Set<string>()
  let sourceAt = clock.date()
  let sourceSeenAt = clock.now()
  /** The sign of life that the bus keeps, and when it was last seen to change. */
  let beat: number | undefined
  let beatSeenAt = clock.now()
  /** When the bus last told how all polls stand. */
  let readAt = clock.now()

  const meanwhile = createAskMeanwhile({
    ask,
    clock,
    random,
    onTold: (snapshot) => hub.apply(snapshot),
    // asked once more, since a poll of the same name may have been created while the answer was under way
    onGone: (slug) => void endIfGone(slug),
  })

  /**
   * Looks first whether there is such a poll, so that a name that no poll has costs no subscription. Once subscribed it reads again, so
   * that it misses no snapshot between the two. The hub drops a snapshot that arrives twice.
   */
  const join = async (slug: string): Promise<FollowOutcome> => {
    const isReached = bus.health.ok && (await tryBus(slug, async () => void (await read([slug]))))
    if (hub.snapshot(slug) === undefined) {
      try {
        if (!(await isKnown(slug))) return 'unknown'
      } catch (error) {
        log.debug({ poll: slug, err: error }, 'no backend answers for the poll')
        return 'unavailable'
      }
    }
    const entry: Followed = { unsubscribe: undefined, watchedAt: clock.now() }
    if (isReached) {
      await tryBus(slug, async () => {
        await subscribe(slug, entry)
        await read([slug])
      })
    }
    followed.set(slug, entry)
    return 'following'
  }

  /** Asks a backend for the poll, and the bus again meanwhile, which may be filled by backends that are not known here. */
  const isKnown = async (slug: string): Promise<boolean> => {
    const over = new AbortController()
    const tell = async () => {
      const told = await ask(slug)
      if (told !== undefined) hub.apply(told.snapshot)
      return told !== undefined
    }
    const hear = async () => {
      while (hub.snapshot(slug) === undefined && !over.signal.aborted) {
        await clock.wait(RECONCILE_MS, over.signal)
        if (!over.signal.aborted) await tryBus(slug, async () => void (await read([slug])))
      }
      return true
    }
    try {
      return await Promise.race([tell(), hear()])
    } finally {
      over.abort()
    }
  }

  /** Whether the bus did the work. */
  const tryBus = async (slug: string, work: () => Promise<void>): Promise<boolean> => {
    try {
      await work()
      return true
    } catch (error) {
      log.debug({ poll: slug, err: error }, 'the bus does not answer for the poll')
      return false
    }
  }

  const read = async (slugs: readonly string[]) => {
    const kept = await bus.latest(slugs)
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
    const kept = await read([...followed.keys()])
    readAt = clock.now()
    // only after a read of all polls: a sign of life says that what the sockets show is current
    if (kept.sourceAt !== undefined && kept.sourceAt !== beat) {
      sourceAt = beat = kept.sourceAt
      sourceSeenAt = beatSeenAt = clock.now()
    }
    // a bus that has lost its data has no `sourceAt` until the backends have filled it again; till then a missing poll proves
    // nothing
    if (kept.sourceAt !== undefined) for (const slug of followed.keys()) if (!kept.snapshots.has(slug)) void endIfGone(slug)
    await Promise.all([...followed].map(([slug, entry]) => tryBus(slug, () => subscribe(slug, entry))))
  }

  const subscribe = async (slug: string, entry: Followed) => {
    entry.unsubscribe ??= await bus.subscribe(slug, hub.apply)
  }

  const end = (slug: string) => {
    followed.get(slug)?.unsubscribe?.()
    followed.delete(slug)
    hub.end(slug)
  }

  /** Ends a poll if a backend confirms that it is gone, since the bus may lack a poll that the database has. Never rejects. */
  const endIfGone = async (slug: string) => {
    if (asking.has(slug)) return
    asking.add(slug)
    const before = hub.snapshot(slug)
    try {
      const isThere = (await ask(slug)) !== undefined
      // a poll of the same name may have been created while the answer was under way
      if (!isThere && hub.snapshot(slug) === before) end(slug)
    } catch (error) {
      log.debug({ poll: slug, err: error }, 'no backend answers for the poll')
    } finally {
      asking.delete(slug)
    }
  }

  return {
    get sourceAt() {
      return sourceAt
    },
    sourceAgeMs: () => clock.now() - sourceSeenAt,
    get source() {
      return { ok: clock.now() - sourceSeenAt <= SILENT_AFTER_MS, at: sourceSeenAt }
    },
    isFollowing: (slug) => followed.has(slug),
    async follow(slug) {
      const known = followed.get(slug)
      if (known !== undefined) {
        // whoever asks is about to watch it
        known.watchedAt = clock.now()
        return 'following'
      }
      // sockets that arrive for the same poll at once share one look-up
      const pending = joining.get(slug) ?? join(slug).finally(() => joining.delete(slug))
      joining.set(slug, pending)
      return await pending
    },
    async run(signal) {
      await Promise.all([reconcileUntil(signal), askMeanwhileUntil(signal)])
    },
  }

  async function reconcileUntil(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        await reconcile()
      } catch (error) {
        log.debug({ err: error }, 'the feed cannot reconcile with the bus: the backends are asked')
      }
      await clock.wait(RECONCILE_MS, signal)
    }
  }

  async function askMeanwhileUntil(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const now = clock.now()
      const { ok, at } = bus.health
      if (ok && now - at < UNWELL_MS && now - readAt < OVERDUE_MS && now - beatSeenAt < QUIET_MS) {
        meanwhile.end()
        await clock.wait(LOOK_MS, signal)
        continue
      }
      const slugs = [...followed.keys()].filter((slug) => hub.isWatched(slug))
      const isAnswered = await meanwhile.round(slugs, signal)
      if (!isAnswered || slugs.length === 0 || now < sourceSeenAt) continue
      sourceAt = clock.date()
      sourceSeenAt = now
    }
  }
}
