/** A broadcast group: the sockets that follow the same polls and therefore get the same bytes. */
import { Connection, MAX_QUEUED } from './connection.ts'

/** A poll's finished frames, as its sockets get them; empty until its first snapshot. */
export interface Topic {
  pollFrame: Buffer
  tallyFrame: Buffer
}

/** What all sockets are told of the source, whatever polls they follow. */
export interface Source {
  /** The newest `alive` frame. */
  frame: Buffer
}

export interface BroadcastGroupOptions {
  readonly topics: readonly Topic[]
  readonly source: Source
  /** Runs the function soon, after pending I/O events: `setImmediate`. */
  readonly defer: (run: () => void) => void
  /** A clock for spans, in ms. */
  readonly elapsed: () => number
  /** Called with the number of sockets just written to. */
  readonly onWritten: (sockets: number) => void
}

/**
 * The longest that a flush writes without a pause, in ms. The pauses let probes, heartbeats and handshakes run well within 50 ms.
 */
const PAUSE_AFTER_MS = 8

/**
 * The group numbers its changes. It keeps the number of each topic's last change, and each connection keeps the number of the
 * last change it was sent. Comparing the two tells what is pending for a connection, whether the connection is new, was too slow,
 * or comes later in the flush. Almost all connections have the same bytes pending, so the group assembles those once.
 */
export class BroadcastGroup {
  readonly connections = new Set<Connection>()
  readonly #options: BroadcastGroupOptions
  readonly #changed: Map<Topic, { tally: number; poll: number }>
  #sourceChanged = 0
  #change = 0
  /** The pending bytes by the number of the last change that a connection was sent; cleared with every change. */
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

  /** Notes that a topic has a new tally frame, and a new poll frame if `hasNewPoll`; flushes soon. */
  notify(topic: Topic, hasNewPoll: boolean): void {
    const changed = this.#changed.get(topic)
    if (changed === undefined) return
    changed.tally = this.#change + 1
    if (hasNewPoll) changed.poll = changed.tally
    this.#flushSoon()
  }

  /** Notes that the source has fallen silent or speaks again; flushes soon. */
  notifySource(): void {
    this.#sourceChanged = this.#change + 1
    this.#flushSoon()
  }

  /** Counts a change that was noted. */
  #flushSoon(): void {
    this.#change += 1
    this.#pending.clear()
    if (this.#isFlushing) return
    this.#isFlushing = true
    // deferred, so that further changes of this turn go out in the same write
    this.#options.defer(() => this.#flush([...this.connections], 0, this.#change))
  }

  /** Sends to every connection, pauses after every `PAUSE_AFTER_MS`, and starts again when a topic changed meanwhile. */
  #flush(connections: readonly Connection[], from: number, change: number): void {
    // the hub has taken everyone out: a connection that is in another group now is not to be given this one's numbers
    if (this.connections.size === 0) return
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

  /**
   * Sends to up to `MAX_QUEUED` connections and returns how many took the bytes. The others catch up when their sockets have
   * drained.
   */
  #flushSome(connections: readonly Connection[], from: number): number {
    const end = Math.min(connections.length, from + MAX_QUEUED)
    let count = 0
    // almost all connections have seen the same change, so the bytes are looked up only where it differs
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

  /** The bytes pending for a connection whose last change is `seen`; undefined if none. */
  #pendingFor(seen: number): Buffer | undefined {
    if (seen === this.#change) return undefined
    if (!this.#pending.has(seen)) this.#pending.set(seen, this.#since(seen))
    return this.#pending.get(seen)
  }

  /** The frames that changed after the change `seen`, in one buffer. */
  #since(seen: number): Buffer | undefined {
    const frames: Buffer[] = []
    for (const [topic, { tally, poll }] of this.#changed) {
      if (poll > seen) frames.push(topic.pollFrame)
      if (tally > seen) frames.push(topic.tallyFrame)
    }
    // whether the source is silent, the hub tells a newcomer, which has seen nothing
    if (this.#sourceChanged > seen && seen >= 0) frames.push(this.#options.source.frame)
    const known = frames.filter((frame) => frame.length > 0)
    return known.length > 1 ? Buffer.concat(known) : known[0]
  }
}
