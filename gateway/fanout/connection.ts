/** One socket: sends frames, watches for signs of life, and closes. Each of its fields is kept ten thousand times. */
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
  /** Milliseconds since the epoch. */
  now(): number
  /** Called when a socket takes frames again after a while in which it could not. */
  drained(connection: Connection): void
}

/** Instead of a descriptor: frames go to the stream, which is encrypted, or on Windows. */
const THROUGH_STREAM = -1
/** Instead of a descriptor: the socket takes no frames now. */
const NOT_NOW = -2

/** Frames that are queued for one `sendQueued`, at most: about a millisecond's worth. */
export const MAX_QUEUED = 256
/** What is queued: for which connection, through which descriptor, and the frames. Filled anew for each `sendQueued`. */
const queued: Connection[] = []
const queuedTargets = new Int32Array(MAX_QUEUED)
const queuedFrames: Buffer[] = []
let queuedCount = 0

/** RFC 6455 §5.5.2, without data. */
const PING = Buffer.of(0x89, 0)

/** What Node keeps below a stream, until it is closed. */
interface Handle {
  /** Below zero where the platform has none. */
  readonly fd?: number
}
type WithHandle = Socket & { readonly _handle?: Handle | null }

/** What `ws` knows of its socket's connection, so that one listener serves all of them. */
const CONNECTION = Symbol('connection')
type Known = WebSocket & { [CONNECTION]?: Connection }

export class Connection {
  /** The connection of a socket. */
  static of(socket: WebSocket): Connection | undefined {
    return (socket as Known)[CONNECTION]
  }

  readonly address: string
  readonly slugs: readonly string[]
  /** The number of the last change of its broadcast group that it was sent. */
  seen = -1
  readonly #socket: WebSocket
  readonly #stream: WithHandle
  /** The kernel's number for the stream, good for as long as the stream has this handle: closed ones are given to others. */
  #descriptor = THROUGH_STREAM
  #handle: Handle | undefined
  /** Written bytes wait in this process. */
  #isBlocked = false
  #blockedSince = 0
  readonly #host: ConnectionHost
  #pingedAt: number
  #awaitingPong = false
  /** The answer to the newest ping that came while bytes waited. */
  #owedPong: Buffer | undefined
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
   * Where complete frames may be sent now: a descriptor, `THROUGH_STREAM` where there is none, or `NOT_NOW` while earlier frames wait
   * or the socket is closing. This is the hot path: asked of every socket for every tally.
   *
   * Sending to the descriptor costs a fraction of a stream's bookkeeping (docs/adr/0007). It keeps the order of bytes only while
   * nothing waits in the stream, and no frame is ever cut in two by another: what the kernel does not take goes to the stream, and
   * until that has been flushed nothing else is written. So at most one message per socket waits in this process. Nobody but this
   * class writes to the stream of an open socket; the close frame, which `ws` writes, is the last there is.
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
      const pong = this.#owedPong
      this.#owedPong = undefined
      if (pong !== undefined) this.write(pong)
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

  /**
   * Like `write`, but sends with the next `sendQueued`, which has to follow in the same turn and after `MAX_QUEUED` calls at most.
   *
   * Checking many sockets first and sending to all of them then is faster than one after the other: each check reads memory that the
   * sends before it have pushed out of the processor's caches, and side by side those reads are waited for together. Nothing else
   * runs in between, so what was found still holds.
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

  /** Sends what was queued, whatever the connection. */
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
   * To be called about once a second. Pings (RFC 6455 §5.5.2), and closes with 1013 a socket that has not taken its bytes for
   * `limits.slowMs` or has left a ping unanswered for as long. The ping queues behind the tallies: a client that does not read them
   * does not answer, however much the kernel has taken for it, so no tally on its way is older than interval and limit together.
   */
  checkAlive(now: number, limits: { readonly pingIntervalMs: number; readonly slowMs: number }): void {
    const isSlow = this.#isBlocked && now - this.#blockedSince >= limits.slowMs
    const isMute = this.#awaitingPong && now - this.#pingedAt >= limits.slowMs
    if (isSlow || isMute) return this.close(CloseCode.tryAgainLater, 'too slow')
    if (this.#awaitingPong || now - this.#pingedAt < limits.pingIntervalMs || !this.write(PING)) return
    this.#pingedAt = now
    this.#awaitingPong = true
  }

  /** To be called about once a second. Writes the frame when nothing has been sent for so long. */
  breakSilence(frame: Buffer, now: number, afterMs: number): void {
    if (this.seen !== this.#seenBefore) {
      this.#seenBefore = this.seen
      this.#quietSince = now
    } else if (now - this.#quietSince >= afterMs && this.write(frame)) this.#quietSince = now
  }

  heardPong(): void {
    this.#awaitingPong = false
  }

  /** Answers a ping with its own data (RFC 6455 §5.5.3); of pings that come while bytes wait, the newest is answered, as it allows. */
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
  Connection.of(this)?.answerPing(data)
}

function onPong(this: WebSocket): void {
  Connection.of(this)?.heardPong()
}
