/** Everyone who follows the same polls: they all get the same bytes. */
import type { Connection } from './connection.ts'

/** A poll as its sockets see it: finished frames, empty until there is something to tell. */
export interface Topic {
  pollFrame: Buffer
  tallyFrame: Buffer
}

export interface AudienceOptions {
  readonly topics: readonly Topic[]
  /** Runs the function soon, after waiting I/O has had its turn. */
  readonly defer: (run: () => void) => void
  /** A clock for spans, in ms. */
  readonly elapsed: () => number
  readonly now: () => number
  /** Called with the number of sockets just written to. */
  readonly onWritten: (sockets: number) => void
}

/** How long writing goes on without a pause, so that probes, heartbeats and handshakes get their turn well within 50 ms. */
const PAUSE_AFTER_MS = 8
/** Sockets written to between two looks at the clock. */
const STRIDE = 64

/**
 * Changes are numbered. Of each topic the audience knows the number of its last change, and of each connection the number of the
 * last change it was sent; what a connection lacks follows from the two, whether it is new, was too slow, or merely comes later
 * in the round. Almost everybody lacks the same, so those bytes are put together once.
 */
export class Audience {
  readonly connections = new Set<Connection>()
  readonly #options: AudienceOptions
  readonly #changed: Map<Topic, { tally: number; poll: number }>
  #change = 0
  /** What those lack who have seen so much; empty again with every change. */
  readonly #lacking = new Map<number, Buffer | undefined>()
  #isTelling = false

  constructor(options: AudienceOptions) {
    this.#options = options
    this.#changed = new Map(options.topics.map((topic) => [topic, { tally: 0, poll: 0 }]))
  }

  /** Adds a connection and sends it all there is. */
  add(connection: Connection): void {
    this.connections.add(connection)
    this.catchUp(connection)
  }

  /** Sends one connection what it lacks. */
  catchUp(connection: Connection): void {
    if (this.#send(connection, this.#options.now())) this.#options.onWritten(1)
  }

  /** Notes that a topic's tally frame is new, and its poll frame if so, and tells everyone soon. */
  tell(topic: Topic, hasNewPoll: boolean): void {
    const changed = this.#changed.get(topic)
    if (changed === undefined) return
    this.#change += 1
    changed.tally = this.#change
    if (hasNewPoll) changed.poll = this.#change
    this.#lacking.clear()
    if (this.#isTelling) return
    this.#isTelling = true
    // not now: what else changes in this tick goes out in the same write
    this.#options.defer(() => this.#goRound([...this.connections], 0, this.#change))
  }

  /** Goes round everyone, pausing whenever it has worked for a while, and once more when something changed meanwhile. */
  #goRound(everyone: readonly Connection[], from: number, change: number): void {
    const { defer, elapsed, now, onWritten } = this.#options
    const until = elapsed() + PAUSE_AFTER_MS
    const at = now()
    let next = from
    let written = 0
    do {
      for (const stop = Math.min(everyone.length, next + STRIDE); next < stop; next += 1) {
        const connection = everyone[next]
        if (connection !== undefined && this.#send(connection, at)) written += 1
      }
    } while (next < everyone.length && elapsed() < until)
    onWritten(written)
    if (next < everyone.length) defer(() => this.#goRound(everyone, next, change))
    else if (change !== this.#change) defer(() => this.#goRound([...this.connections], 0, this.#change))
    else this.#isTelling = false
  }

  /** False when the connection lacks nothing, or cannot take it now: it catches up later. */
  #send(connection: Connection, at: number): boolean {
    const { seen } = connection
    if (seen === this.#change) return false
    if (!this.#lacking.has(seen)) this.#lacking.set(seen, this.#since(seen))
    const frame = this.#lacking.get(seen)
    if (frame === undefined) return false
    connection.seen = this.#change
    const taken = connection.write(frame, at)
    if (!taken) connection.seen = seen
    return taken
  }

  /** What changed after a change, as complete frames in one buffer. */
  #since(seen: number): Buffer | undefined {
    const frames: Buffer[] = []
    for (const [topic, { tally, poll }] of this.#changed) {
      if (poll > seen) frames.push(topic.pollFrame)
      if (tally > seen) frames.push(topic.tallyFrame)
    }
    const told = frames.filter((frame) => frame.length > 0)
    return told.length > 1 ? Buffer.concat(told) : told[0]
  }
}
