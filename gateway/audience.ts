/** Everyone who follows the same polls: they all get the same bytes. */
import { type Connection, NOT_NOW, THROUGH_STREAM } from './connection.ts'
import { sendNow } from './descriptor-send.ts'

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
  /** Called with the number of sockets just written to. */
  readonly onWritten: (sockets: number) => void
}

/** How long writing goes on without a pause, so that probes, heartbeats and handshakes get their turn well within 50 ms. */
const PAUSE_AFTER_MS = 8
/** Sockets written to between two looks at the clock: about a millisecond's worth. */
export const STRIDE = 256

/** A stride's worth of what is about to be sent: to whom, through which descriptor, and what. Filled anew by each stride. */
const ready: Connection[] = []
const targets = new Int32Array(STRIDE)
const payloads: Buffer[] = []

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
    const { seen } = connection
    const frame = this.#lackedBy(seen)
    if (frame === undefined) return
    connection.seen = this.#change
    if (connection.write(frame)) this.#options.onWritten(1)
    else connection.seen = seen
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
    const { defer, elapsed, onWritten } = this.#options
    const until = elapsed() + PAUSE_AFTER_MS
    let next = from
    let written = 0
    do {
      written += this.#tellStride(everyone, next)
      next += STRIDE
    } while (next < everyone.length && elapsed() < until)
    onWritten(written)
    if (next < everyone.length) defer(() => this.#goRound(everyone, next, change))
    else if (change !== this.#change) defer(() => this.#goRound([...this.connections], 0, this.#change))
    else this.#isTelling = false
  }

  /**
   * Tells one stride of the connections and returns how many it wrote to; who cannot take it now catches up later.
   *
   * It first looks at all of them and then sends to all of them. Looking is a chain of reads from memory that the sends before have
   * pushed out of the processor's caches; side by side they are waited for together, with a send between them one after the other.
   * Nothing else runs in between, so what was seen still holds.
   */
  #tellStride(everyone: readonly Connection[], from: number): number {
    const end = Math.min(everyone.length, from + STRIDE)
    let count = 0
    // almost everybody has seen the same
    let seen = this.#change
    let frame: Buffer | undefined
    for (let next = from; next < end; next += 1) {
      const connection = everyone[next]
      if (connection === undefined) continue
      if (connection.seen !== seen) frame = this.#lackedBy((seen = connection.seen))
      if (frame === undefined) continue
      const { target } = connection
      if (target === NOT_NOW) continue
      connection.seen = this.#change
      ready[count] = connection
      targets[count] = target
      payloads[count] = frame
      count += 1
    }
    for (let index = 0; index < count; index += 1) {
      const target = targets[index]
      const payload = payloads[index]
      if (target === undefined || payload === undefined) break
      const taken = target === THROUGH_STREAM ? 0 : sendNow(target, payload)
      if (taken < payload.length) ready[index]?.writeRest(payload, taken)
    }
    return count
  }

  /** What a connection that has seen so much lacks; undefined if nothing. */
  #lackedBy(seen: number): Buffer | undefined {
    if (seen === this.#change) return undefined
    if (!this.#lacking.has(seen)) this.#lacking.set(seen, this.#since(seen))
    return this.#lacking.get(seen)
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
