/** The sockets that follow the same polls, and so all get the same bytes. */
import { Connection, MAX_QUEUED } from './connection.ts'

/** A poll as its sockets see it: finished frames, empty until there is something to tell. */
export interface Topic {
  pollFrame: Buffer
  tallyFrame: Buffer
}

export interface BroadcastGroupOptions {
  readonly topics: readonly Topic[]
  /** Runs the function soon, after waiting I/O has had its turn. */
  readonly defer: (run: () => void) => void
  /** A clock for spans, in ms. */
  readonly elapsed: () => number
  /** Called with the number of sockets just written to. */
  readonly onWritten: (sockets: number) => void
}

/** How long writing goes on without a pause, in ms, so that probes, heartbeats and handshakes get their turn well within 50 ms. */
const PAUSE_AFTER_MS = 8

/**
 * Changes are numbered. The group knows the number of each topic's last change, and each connection the number of the last change it
 * was sent. The two say what is pending for a connection, whether it is new, was too slow, or merely comes later in the flush. For
 * almost all connections that is the same, so those bytes are put together once.
 */
export class BroadcastGroup {
  readonly connections = new Set<Connection>()
  readonly #options: BroadcastGroupOptions
  readonly #changed: Map<Topic, { tally: number; poll: number }>
  #change = 0
  /** The bytes that are pending for connections that have seen so much; emptied with every change. */
  readonly #pending = new Map<number, Buffer | undefined>()
  #isFlushing = false

  constructor(options: BroadcastGroupOptions) {
    this.#options = options
    this.#changed = new Map(options.topics.map((topic) => [topic, { tally: 0, poll: 0 }]))
  }

  /** Adds a connection and sends it everything. */
  add(connection: Connection): void {
    this.connections.add(connection)
    this.catchUp(connection)
  }

  /** Sends one connection what is pending for it. */
  catchUp(connection: Connection): void {
    const { seen } = connection
    const frame = this.#pendingFor(seen)
    if (frame === undefined) return
    connection.seen = this.#change
    if (connection.write(frame)) this.#options.onWritten(1)
    else connection.seen = seen
  }

  /** Notes that a topic's tally frame is new, and its poll frame if so, and flushes soon. */
  notify(topic: Topic, hasNewPoll: boolean): void {
    const changed = this.#changed.get(topic)
    if (changed === undefined) return
    this.#change += 1
    changed.tally = this.#change
    if (hasNewPoll) changed.poll = this.#change
    this.#pending.clear()
    if (this.#isFlushing) return
    this.#isFlushing = true
    // deferred, so that further changes of this turn go out in the same write
    this.#options.defer(() => this.#flush([...this.connections], 0, this.#change))
  }

  /** Sends to every connection, pausing whenever it has worked for a while, and starts again when something changed meanwhile. */
  #flush(connections: readonly Connection[], from: number, change: number): void {
    const { defer, elapsed, onWritten } = this.#options
    const until = elapsed() + PAUSE_AFTER_MS
    let next = from
    let written = 0
    do {
      written += this.#flushSome(connections, next)
      next += MAX_QUEUED
    } while (next < connections.length && elapsed() < until)
    onWritten(written)
    if (next < connections.length) defer(() => this.#flush(connections, next, change))
    else if (change !== this.#change) defer(() => this.#flush([...this.connections], 0, this.#change))
    else this.#isFlushing = false
  }

  /** Sends to `MAX_QUEUED` connections and returns how many took it; the others catch up when they can. */
  #flushSome(connections: readonly Connection[], from: number): number {
    const end = Math.min(connections.length, from + MAX_QUEUED)
    let count = 0
    // almost all connections have seen the same
    let seen = this.#change
    let frames: Buffer | undefined
    for (let next = from; next < end; next += 1) {
      const connection = connections[next]
      if (connection === undefined) continue
      if (connection.seen !== seen) frames = this.#pendingFor((seen = connection.seen))
      if (frames === undefined || !connection.queue(frames)) continue
      connection.seen = this.#change
      count += 1
    }
    Connection.sendQueued()
    return count
  }

  /** The bytes that are pending for a connection that has seen so much; undefined if none. */
  #pendingFor(seen: number): Buffer | undefined {
    if (seen === this.#change) return undefined
    if (!this.#pending.has(seen)) this.#pending.set(seen, this.#since(seen))
    return this.#pending.get(seen)
  }

  /** What changed after a change, as complete frames in one buffer. */
  #since(seen: number): Buffer | undefined {
    const frames: Buffer[] = []
    for (const [topic, { tally, poll }] of this.#changed) {
      if (poll > seen) frames.push(topic.pollFrame)
      if (tally > seen) frames.push(topic.tallyFrame)
    }
    const known = frames.filter((frame) => frame.length > 0)
    return known.length > 1 ? Buffer.concat(known) : known[0]
  }
}
