/** Who watches which poll, what each poll last stood at, and the fan-out from one to all. */
import { isNewer } from '../shared/protocol/order.ts'
import type { Frame, PollFrame, Snapshot } from '../shared/protocol/frames.ts'
import type { Clock } from '../shared/lifecycle/clock.ts'
import type { Connection } from './connection.ts'

export interface HubOptions {
  readonly clock: Clock
  /** When a backend last read the database, ms since the epoch; undefined if nobody has said. */
  readonly sourceAt: () => number | undefined
  /** Called with the number of frames just written. */
  readonly onSent?: (frames: number) => void
}

export interface Hub {
  /** Open sockets. */
  readonly size: number
  connections(): Iterable<Connection>
  /** Adds a socket and sends it what is known of its polls. */
  add(connection: Connection): void
  remove(connection: Connection): void
  /** Whether anybody watches the poll. */
  isWatched(poll: string): boolean
  snapshot(poll: string): Snapshot | undefined
  /** Takes news of a poll: what is not newer is dropped, the rest goes to everyone who watches, at most 20 times a second. */
  apply(snapshot: Snapshot): void
  /** Lets go of a poll nobody watches. */
  forget(poll: string): void
  /** Once a second: says "still here" where it was quiet, and pings. */
  tick(): void
}

/** At most 20 tallies a second per poll reach a socket; more could not be seen. */
const MIN_GAP_MS = 50
/** After so long without a frame, `alive` tells "nothing new" from "nothing heard". */
const ALIVE_AFTER_MS = 15_000
/** Below the 60 s after which common proxies cut a quiet connection. */
const PING_INTERVAL_MS = 25_000

interface Topic {
  snapshot: Snapshot | undefined
  /** The definition as last sent to everybody, to see when it changes. */
  sentPoll: string | undefined
  sentAt: number
  /** A newer snapshot waits for the gap to pass. */
  pending: boolean
  readonly watchers: Set<Connection>
}

export function createHub({ clock, sourceAt, onSent }: HubOptions): Hub {
  const topics = new Map<string, Topic>()
  const all = new Set<Connection>()

  const topicOf = (poll: string): Topic => {
    const known = topics.get(poll)
    if (known !== undefined) return known
    const topic: Topic = { snapshot: undefined, sentPoll: undefined, sentAt: 0, pending: false, watchers: new Set() }
    topics.set(poll, topic)
    return topic
  }

  /** Writes the newest snapshot to every watcher: encoded once, whatever the number of sockets. */
  const broadcast = (topic: Topic) => {
    const { snapshot } = topic
    if (snapshot === undefined) return
    const now = clock.now()
    topic.sentAt = now
    const poll = encode(snapshot.poll)
    const frames = poll === topic.sentPoll ? [encode(snapshot.tally)] : [poll, encode(snapshot.tally)]
    topic.sentPoll = poll
    for (const watcher of topic.watchers) for (const frame of frames) watcher.send(frame, now)
    onSent?.(frames.length * topic.watchers.size)
  }

  const broadcastLater = async (topic: Topic, delayMs: number) => {
    topic.pending = true
    await clock.wait(delayMs)
    topic.pending = false
    broadcast(topic)
  }

  return {
    get size() {
      return all.size
    },
    connections: () => all,
    add(connection) {
      all.add(connection)
      const now = clock.now()
      for (const poll of connection.polls) {
        const topic = topicOf(poll)
        topic.watchers.add(connection)
        if (topic.snapshot === undefined) continue
        connection.send(encode(topic.snapshot.poll), now)
        connection.send(encode(topic.snapshot.tally), now)
        onSent?.(2)
      }
    },
    remove(connection) {
      all.delete(connection)
      for (const poll of connection.polls) topics.get(poll)?.watchers.delete(connection)
    },
    isWatched: (poll) => (topics.get(poll)?.watchers.size ?? 0) > 0,
    snapshot: (poll) => topics.get(poll)?.snapshot,
    apply(snapshot) {
      const topic = topicOf(snapshot.tally.poll)
      if (!isNewer(snapshot.tally, topic.snapshot?.tally)) return
      topic.snapshot = snapshot
      if (topic.pending) return
      const waitMs = topic.sentAt + MIN_GAP_MS - clock.now()
      if (waitMs <= 0) broadcast(topic)
      else void broadcastLater(topic, waitMs)
    },
    forget(poll) {
      if (topics.get(poll)?.watchers.size === 0) topics.delete(poll)
    },
    tick() {
      const now = clock.now()
      const heardAt = sourceAt()
      const alive = heardAt === undefined ? undefined : encode({ type: 'alive', at: new Date(heardAt).toISOString() })
      for (const connection of all) {
        if (!connection.checkAlive(now, PING_INTERVAL_MS)) continue
        if (alive !== undefined && now - connection.lastSentAt >= ALIVE_AFTER_MS) connection.send(alive, now)
      }
    },
  }
}

function encode(frame: Frame | PollFrame): string {
  return JSON.stringify(frame)
}
