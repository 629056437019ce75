/**
 * One socket: sends frames, checks that the client still answers, and closes. A process has tens of thousands, so each field
 * counts.
 */
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { CloseCode } from '../../shared/protocol/close-codes.ts'
import { sendNow } from './socket-send.ts'

export interface ConnectionOptions {
  readonly socket: WebSocket
  /** The stream below it. */
  readonly stream: Socket
  /** The slugs of the polls it follows, in the order asked for, each once. */
  readonly slugs: readonly string[]
  /** The client's address. */
  readonly address: string
  readonly host: ConnectionHost
}

/** What a connection needs of its surroundings, the same for all. */
export interface ConnectionHost {
  /** Monotonic milliseconds. */
  now(): number
  /** Called when a socket takes frames again after a while in which it could not. */
  drained(connection: Connection): void
}

/** In place of a descriptor: frames go to the stream, since it is encrypted or the platform (Windows) has no descriptors. */
const THROUGH_STREAM = -1
/** In place of a descriptor: the socket takes no frames now. */
const NOT_NOW = -2

/** The most frames that are queued for one `sendQueued`. */
export const MAX_QUEUED = 256
/** The queue: connections, their targets and their frames, at the same index. `sendQueued` empties it. */
const queued: Connection[] = []
const queuedTargets = new Int32Array(MAX_QUEUED)
const queuedFrames: Buffer[] = []
let queuedCount = 0

/**
 * A client that sends more pings and pongs than this within a second is closed. Of our own pings, which come every 15 s, it answers
 * each once; the others cost us more than they cost it.
 */
const MAX_CONTROLS = 20
const CONTROLS_MS = 1_000

/** RFC 6455 §5.5.2, without data. */
const PING = Buffer.of(0x89, 0)

/** Node's handle below a stream, which the stream has until it is closed. */
interface Handle {
  /** Negative where the platform has no descriptors. */
  readonly fd?: number
}
type WithHandle = Socket & { readonly _handle?: Handle | null }

/** The key under which a `ws` socket keeps its connection, so that all sockets share their listeners. */
const CONNECTION = Symbol('connection')
type Known = WebSocket & { [CONNECTION]?: Connection }

export class Connection {
  /** The connection of a socket. */
  static of(socket: WebSocket): Connection | undefined {
    return (socket as Known)[CONNECTION]
  }

  readonly address: string
  /** The polls it follows; the hub takes out those that are gone. */
  slugs: readonly string[]
  /** The number of the last change of its broadcast group that it was sent. */
  seen = -1
  readonly #socket: WebSocket
  readonly #stream: WithHandle
  /**
   * The kernel's number for the stream. It is valid only while the stream has this handle, since the kernel reuses the numbers of
   * closed sockets.
   */
  #descriptor = THROUGH_STREAM
  #handle: Handle | undefined
  /** Whether written bytes wait in this process. */
  #isBlocked = false
  #blockedSince = 0
  readonly #host: ConnectionHost
  #pingedAt: number
  #awaitingPong = false
  /** The answer to the newest ping that came while bytes waited. */
  #owedPong: Buffer | undefined
  /** Frames that `writeSoon` was given while bytes waited. */
  #owed: Buffer | undefined
  /** How many pings and pongs the client has sent since then. */
  #controls = 0
  #controlsSince: number
  /** `seen` at the last check, and since when it has been the same. */
  #seenBefore = -1
  #quietSince: number

  constructor({ socket, stream, slugs, address, host }: ConnectionOptions) {
    this.address = address
    this.#socket = socket
    this.#stream = stream
    this.#host = host
    this.slugs = slugs
    this.#pingedAt = host.now()
    this.#quietSince = this.#pingedAt
    this.#controlsSince = this.#pingedAt
    const known: Known = socket
    known[CONNECTION] = this
    socket.on('ping', onPing)
    socket.on('pong', onPong)
    // frames must not overtake the answer to the handshake while that still waits in the stream
    if (stream.writableLength === 0) this.#goDirect()
  }

  /** Sends past the stream from now on, since nothing waits in it. */
  #goDirect() {
    const { _handle: handle } = this.#stream
    this.#handle = handle ?? undefined
    // an encrypted stream has the descriptor of the plain one below it
    this.#descriptor = 'encrypted' in this.#stream ? THROUGH_STREAM : (handle?.fd ?? THROUGH_STREAM)
  }

  /**
   * Where complete frames may be sent now: a descriptor, `THROUGH_STREAM` where there is none, or `NOT_NOW` while earlier frames
   * wait or the socket is closing. This is the hot path: it runs for every socket and every tally.
   *
   * Frames go to the descriptor to save the stream's bookkeeping (docs/adr/0007). Two rules keep the bytes in order and every
   * frame in one piece. What the kernel does not take goes to the stream, and this class writes nothing else until the stream has
   * flushed it, so at most one message per socket waits in this process. And only this class writes to the stream of an open
   * socket; `ws` writes the close frame, which is the last.
   */
  get #target(): number {
    if (this.#isBlocked || this.#socket.readyState !== 1) return NOT_NOW
    const { _handle: handle } = this.#stream
    if (handle === this.#handle) return this.#descriptor
    return this.#stream.destroyed ? NOT_NOW : THROUGH_STREAM
  }

  /** Sends frames to a target that is not `NOT_NOW`, and gives the stream what the kernel does not take. */
  #send(target: number, frames: Buffer): void {
    const taken = target === THROUGH_STREAM ? 0 : sendNow(target, frames)
    if (taken === frames.length) return
    const stream = this.#stream
    this.#isBlocked = true
    this.#blockedSince = this.#host.now()
    stream.write(taken === 0 ? frames : frames.subarray(taken), () => {
      this.#isBlocked = false
      if (stream.destroyed) return
      if (this.#handle === undefined) this.#goDirect()
      const owed = [this.#owedPong, this.#owed].filter((bytes) => bytes !== undefined)
      this.#owedPong = undefined
      this.#owed = undefined
      if (owed.length > 0) this.write(Buffer.concat(owed))
      this.#host.drained(this)
    })
  }

  /** Writes complete frames; false when the socket takes none now (see `#target`). */
  write(frames: Buffer): boolean {
    const target = this.#target
    if (target === NOT_NOW) return false
    this.#send(target, frames)
    return true
  }

  /** Writes complete frames now, or as soon as the socket takes them. What waits is kept in this process: for few small frames. */
  writeSoon(frames: Buffer): void {
    if (!this.write(frames)) this.#owed = this.#owed === undefined ? frames : Buffer.concat([this.#owed, frames])
  }

  /**
   * Like `write`, but the next `sendQueued` does the sending. It has to follow in the same turn, after `MAX_QUEUED` calls at
   * most.
   *
   * Checking many sockets first and then sending to all of them is faster than checking and sending one by one (docs/adr/0014):
   * the sends evict the sockets' fields from the processor's caches, and checks in a row load the fields of several sockets at
   * once. No other code runs between check and send, so the result of the check still holds.
   */
  queue(frames: Buffer): boolean {
    const target = this.#target
    if (target === NOT_NOW) return false
    queued[queuedCount] = this
    queuedTargets[queuedCount] = target
    queuedFrames[queuedCount] = frames
    queuedCount += 1
    return true
  }

  /** Sends what all connections have queued. */
  static sendQueued(): void {
    for (let index = 0; index < queuedCount; index += 1) {
      const connection = queued[index]
      const target = queuedTargets[index]
      const frames = queuedFrames[index]
      if (connection !== undefined && target !== undefined && frames !== undefined) connection.#send(target, frames)
    }
    queuedCount = 0
  }

  /**
   * To be called about once a second. Pings (RFC 6455 §5.5.2), and closes with 1013 a socket that has not taken its bytes, or has
   * not answered a ping, for `limits.slowMs`. The ping queues behind the tallies, so a client that does not read its tallies does
   * not answer it either, even when the kernel has buffered all of them. So no tally is on its way for longer than interval and
   * limit together.
   */
  checkAlive(now: number, limits: { readonly pingIntervalMs: number; readonly slowMs: number }): void {
    const isSlow = this.#isBlocked && now - this.#blockedSince >= limits.slowMs
    const isMute = this.#awaitingPong && now - this.#pingedAt >= limits.slowMs
    if (isSlow || isMute) return this.close(CloseCode.tryAgainLater, 'too slow')
    if (this.#awaitingPong || now - this.#pingedAt < limits.pingIntervalMs || !this.write(PING)) return
    this.#pingedAt = now
    this.#awaitingPong = true
  }

  /** To be called about once a second. Writes the frame when the socket has been sent nothing for `afterMs`. */
  breakSilence(frame: Buffer, now: number, afterMs: number): void {
    if (this.seen !== this.#seenBefore) {
      this.#seenBefore = this.seen
      this.#quietSince = now
    } else if (now - this.#quietSince >= afterMs && this.write(frame)) this.#quietSince = now
  }

  /** The subprotocol that was negotiated; empty where the client offered none that the server speaks. */
  get protocol(): string {
    return this.#socket.protocol
  }

  /** To be called for each ping and pong of the client. Closes with 1008 when there are too many; then it is false. */
  mayControl(): boolean {
    const now = this.#host.now()
    if (now - this.#controlsSince >= CONTROLS_MS) {
      this.#controlsSince = now
      this.#controls = 0
    }
    this.#controls += 1
    if (this.#controls <= MAX_CONTROLS) return true
    if (this.#controls === MAX_CONTROLS + 1) this.close(CloseCode.policyViolation, 'too many pings or pongs')
    return false
  }

  heardPong(): void {
    this.#awaitingPong = false
  }

  /** Answers a ping with its own data. Of several pings that arrive while bytes wait, it answers the newest (RFC 6455 §5.5.3). */
  answerPing(data: Buffer): void {
    const pong = Buffer.concat([Buffer.of(0x8a, data.length), data])
    if (!this.write(pong)) this.#owedPong = pong
  }

  /** Starts the closing handshake; the `ws` server cuts the connection when no answer comes within its `closeTimeout`. */
  close(code: number, reason: string): void {
    this.#socket.close(code, reason)
  }

  terminate(): void {
    this.#socket.terminate()
  }
}

function onPing(this: WebSocket, data: Buffer): void {
  const connection = Connection.of(this)
  if (connection?.mayControl()) connection.answerPing(data)
}

function onPong(this: WebSocket): void {
  const connection = Connection.of(this)
  if (connection?.mayControl()) connection.heardPong()
}
