/** The hub: knows which socket follows which polls, keeps the newest snapshot of each poll, and sends it to the sockets. */
import { CloseCode } from '../../shared/protocol/close-codes.ts'
import { isNewer } from '../../shared/protocol/order.ts'
import { SUBPROTOCOL_GONE, type AliveFrame, type GoneFrame, type Snapshot } from '../../shared/protocol/frames.ts'
import type { Clock } from '../../shared/lifecycle/clock.ts'
import { BroadcastGroup, type Source, type Topic as Frames } from './broadcast-group.ts'
import type { Connection } from './connection.ts'
import { textFrame } from './text-frame.ts'

export interface HubOptions {
  readonly clock: Clock
  /** When a backend last read the database, ms since the epoch. */
  readonly sourceAt: () => number
  /**
   * How long ago, in ms by a monotonic clock, this gateway last saw that a backend had read the database. Backends say so every
   * second.
   */
  readonly sourceAgeMs: () => number
  /** How long a socket may leave bytes unread or a ping unanswered, in ms. */
  readonly slowMs: number
  /** Runs the function soon, after pending I/O events: `setImmediate`. */
  readonly defer?: (run: () => void) => void
  /** Called with the number of sockets just written to. */
  readonly onSent?: (sockets: number) => void
}

export interface Hub {
  /** Open sockets. */
  readonly size: number
  connections(): Iterable<Connection>
  /** Adds a socket and sends it what is known of its polls, then whether the source is silent. */
  add(connection: Connection): void
  remove(connection: Connection): void
  /** Sends a socket the changes that it could not take while earlier bytes waited. */
  catchUp(connection: Connection): void
  /** Whether any socket follows the poll. */
  isWatched(slug: string): boolean
  snapshot(slug: string): Snapshot | undefined
  /** Takes a snapshot. Drops it unless it is newer, else sends it to the poll's sockets, at most 20 times a second. */
  apply(snapshot: Snapshot): void
  /** Drops the state of a poll that no socket follows. */
  forget(slug: string): void
  /**
   * Drops the state of a poll that is gone. Its sockets of `livetally.v1.1` that follow other polls get a `gone` frame and keep
   * those; all others are closed with 4404.
   */
  end(slug: string): void
  /**
   * To be called ten times a second: tells all sockets when the source falls silent or speaks again, sends `alive` after silence,
   * pings, and closes the sockets that do not keep up.
   */
  tick(): void
}

/** Between two tallies of a poll, in ms: at most 20 a second (docs/adr/0005), even when a second begins and ends with one. */
const MIN_GAP_MS = 55
/** After so long without a frame, in ms, `alive` tells a client that its connection is good and that there is nothing new. */
const ALIVE_AFTER_MS = 15_000
/** The source counts as silent after so long, in ms. It speaks every second, so it has then missed three times. */
export const SILENT_AFTER_MS = 3_000
/** A source that speaks again is believed after so long, in ms, when the tallies that came with its sign of life have been sent. */
const SETTLE_MS = 100
/** Far below the 60 s after which common proxies cut a quiet connection. */
const PING_INTERVAL_MS = 15_000
/** The ticks in which every socket is visited once, so that a crowd that arrived at once is not pinged at once. */
const SLICES = 10

interface Topic extends Frames {
  /** The newest snapshot. The frames are of the last one published, which may be `MIN_GAP_MS` behind. */
  snapshot: Snapshot | undefined
  /** The text of the poll frame as last published, to detect a change. */
  pollText: string
  sentAt: number
  /** Whether a newer snapshot waits for the gap to pass. */
  pending: boolean
  readonly groups: Set<BroadcastGroup>
}

const NOTHING = Buffer.alloc(0)

export function createHub(options: HubOptions): Hub {
  const { clock, sourceAt, sourceAgeMs, slowMs, defer = setImmediate, onSent = () => {} } = options
  const topics = new Map<string, Topic>()
  const groups = new Map<string, BroadcastGroup>()
  const limits = { pingIntervalMs: PING_INTERVAL_MS, slowMs }
  const source: Source = { frame: NOTHING }
  const groupOptions = { source, defer, elapsed: () => performance.now(), onWritten: onSent }
  let isSilent = false
  let size = 0

  function* everyone(): Generator<Connection, undefined> {
    for (const group of groups.values()) yield* group.connections
  }
  /** The iteration over all sockets, which each tick continues. */
  let visit = everyone()

  const topicOf = (slug: string): Topic => {
    const known = topics.get(slug)
    if (known !== undefined) return known
    const topic: Topic = {
      snapshot: undefined,
      pollText: '',
      pollFrame: NOTHING,
      tallyFrame: NOTHING,
      sentAt: 0,
      pending: false,
      groups: new Set(),
    }
    topics.set(slug, topic)
    return topic
  }

  const groupOf = (slugs: readonly string[]): BroadcastGroup => {
    const key = slugs.join(' ')
    const known = groups.get(key)
    if (known !== undefined) return known
    const topicsThere = slugs.map(topicOf)
    const group = new BroadcastGroup({ ...groupOptions, topics: topicsThere })
    groups.set(key, group)
    for (const topic of topicsThere) topic.groups.add(group)
    return group
  }

  /** Encodes the newest snapshot once, and notifies the broadcast groups of its poll. */
  const publish = (topic: Topic) => {
    if (topic.snapshot === undefined) return
    const { poll, tally } = topic.snapshot
    const pollText = JSON.stringify(poll)
    const hasNewPoll = pollText !== topic.pollText
    topic.tallyFrame = textFrame(JSON.stringify(tally))
    if (hasNewPoll) topic.pollFrame = textFrame(pollText)
    topic.pollText = pollText
    topic.sentAt = clock.now()
    for (const group of topic.groups) group.notify(topic, hasNewPoll)
  }

  const publishLater = async (topic: Topic, delayMs: number) => {
    topic.pending = true
    await clock.wait(delayMs)
    topic.pending = false
    publish(topic)
  }

  const add = (connection: Connection) => {
    size += 1
    groupOf(connection.slugs).add(connection)
    if (isSilent) connection.writeSoon(source.frame)
  }

  const remove = (connection: Connection) => {
    const key = connection.slugs.join(' ')
    const group = groups.get(key)
    if (group === undefined || !group.connections.delete(connection)) return
    size -= 1
    if (group.connections.size > 0) return
    groups.delete(key)
    for (const slug of connection.slugs) topics.get(slug)?.groups.delete(group)
  }

  /** Encodes what is known of the source, and tells all sockets if that is news. */
  const listenToSource = () => {
    const ageMs = sourceAgeMs()
    const wasSilent = isSilent
    isSilent = ageMs > SILENT_AFTER_MS || (isSilent && ageMs < SETTLE_MS)
    const alive: AliveFrame = {
      type: 'alive',
      at: new Date(sourceAt()).toISOString(),
      silentMs: isSilent ? Math.round(ageMs) : 0,
    }
    source.frame = textFrame(JSON.stringify(alive))
    if (isSilent !== wasSilent) for (const group of groups.values()) group.notifySource()
  }

  return {
    get size() {
      return size
    },
    connections: everyone,
    add,
    remove,
    // a socket that has been taken out must not bring its polls back
    catchUp: (connection) => groups.get(connection.slugs.join(' '))?.catchUp(connection),
    isWatched: (slug) => (topics.get(slug)?.groups.size ?? 0) > 0,
    snapshot: (slug) => topics.get(slug)?.snapshot,
    apply(snapshot) {
      const topic = topicOf(snapshot.tally.poll)
      if (!isNewer(snapshot.tally, topic.snapshot?.tally)) return
      topic.snapshot = snapshot
      if (topic.pending) return
      const waitMs = topic.sentAt + MIN_GAP_MS - clock.now()
      if (waitMs <= 0) publish(topic)
      else void publishLater(topic, waitMs)
    },
    forget(slug) {
      if (topics.get(slug)?.groups.size === 0) topics.delete(slug)
    },
    end(slug) {
      const gone: GoneFrame = { type: 'gone', poll: slug, code: CloseCode.unknownPoll, reason: 'the poll is gone' }
      const frame = textFrame(JSON.stringify(gone))
      for (const group of topics.get(slug)?.groups ?? []) {
        for (const connection of group.connections) {
          // all are taken out, so that a later poll of this name meets none of them, nor what is known of this one
          remove(connection)
          const left = connection.slugs.filter((other) => other !== slug)
          if (connection.protocol === SUBPROTOCOL_GONE && left.length > 0) {
            connection.slugs = left
            connection.seen = -1
            add(connection)
            connection.writeSoon(frame)
          } else connection.close(gone.code, gone.reason)
        }
      }
      topics.delete(slug)
    },
    tick() {
      listenToSource()
      const now = clock.now()
      for (let left = Math.ceil(size / SLICES); left > 0; left -= 1) {
        let next = visit.next()
        if (next.done === true) next = (visit = everyone()).next()
        if (next.done === true) return
        next.value.checkAlive(now, limits)
        if (source.frame !== NOTHING) next.value.breakSilence(source.frame, now, ALIVE_AFTER_MS)
      }
    },
  }
}
