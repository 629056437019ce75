/** One socket: frames out, signs of life in, and how it ends. What it keeps, it keeps ten thousand times. */
import { writeSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { CloseCode } from '../shared/protocol/close-codes.ts'

export interface ConnectionOptions {
  readonly socket: WebSocket
  /** The stream below it. */
  readonly stream: Socket
  /** The polls it follows, in the order asked for, each once. */
  readonly polls: readonly string[]
  /** Where it comes from. */
  readonly address: string
  /** Called when the socket takes frames again after a while in which it could not. */
  readonly onDrained: (connection: Connection) => void
  readonly now: number
}

/** No time at all. */
const NOT = -1

/** What `ws` knows of its socket's connection, so that one listener serves all of them. */
const CONNECTION = Symbol('connection')
type Known = WebSocket & { [CONNECTION]?: Connection }

export class Connection {
  /** The connection of a socket. */
  static of(socket: WebSocket): Connection | undefined {
    return (socket as Known)[CONNECTION]
  }

  readonly address: string
  readonly polls: readonly string[]
  /** When the last frame was written, ms since the epoch. */
  lastSentAt: number
  /** The number of the last of its audience's changes that it was sent. */
  seen = -1
  readonly #socket: WebSocket
  readonly #stream: Socket
  readonly #onDrained: (connection: Connection) => void
  /** Since when written bytes wait in this process; `NOT` while none do. */
  #blockedSince = NOT
  #pingedAt: number
  #awaitingPong = false

  constructor({ socket, stream, polls, address, onDrained, now }: ConnectionOptions) {
    this.address = address
    this.#socket = socket
    this.#stream = stream
    this.#onDrained = onDrained
    this.polls = polls
    this.lastSentAt = now
    this.#pingedAt = now
    const known: Known = socket
    known[CONNECTION] = this
    socket.on('pong', onPong)
  }

  /**
   * Writes complete frames; false when it cannot, because earlier ones still wait or the socket is closing. This is the hot path:
   * called for every socket and every tally.
   *
   * The bytes go straight to the descriptor, which costs a fraction of a stream's bookkeeping. That keeps their order only while
   * nothing waits in the stream, and no frame is ever cut in two by another: what the kernel does not take goes through the stream,
   * and until that has been flushed nothing else is written here. So at most one frame per socket waits in this process.
   */
  write(frame: Buffer, now: number): boolean {
    const stream = this.#stream
    if (this.#blockedSince !== NOT || this.#socket.readyState !== 1 || stream.destroyed) return false
    this.lastSentAt = now
    let taken = 0
    if (stream.writableLength === 0) {
      const descriptor = descriptorOf(stream)
      if (descriptor >= 0) {
        try {
          taken = writeSync(descriptor, frame)
        } catch (error) {
          // EAGAIN: the kernel's buffer is full. Anything else: the peer is gone, and the write was the first to hear of it.
          if (!isBusy(error)) {
            this.#socket.terminate()
            return false
          }
        }
      }
      if (taken === frame.length) return true
    }
    this.#blockedSince = now
    stream.write(taken === 0 ? frame : frame.subarray(taken), () => {
      this.#blockedSince = NOT
      if (!stream.destroyed) this.#onDrained(this)
    })
    return true
  }

  /**
   * To be called about once a second. Pings (RFC 6455 §5.5.2), and closes with 1013 a socket that has not taken its bytes for
   * `limits.slowMs` or has left a ping unanswered for as long. The ping queues behind the tallies: a client that does not read them
   * does not answer, however much the kernel has taken for it, so no tally on its way is older than interval and limit together.
   */
  checkAlive(now: number, limits: { readonly pingIntervalMs: number; readonly slowMs: number }): void {
    const isSlow = this.#blockedSince !== NOT && now - this.#blockedSince >= limits.slowMs
    const isMute = this.#awaitingPong && now - this.#pingedAt >= limits.slowMs
    if (isSlow || isMute) return this.close(CloseCode.tryAgainLater, 'too slow')
    if (this.#awaitingPong || now - this.#pingedAt < limits.pingIntervalMs || this.#socket.readyState !== 1) return
    this.#pingedAt = now
    this.#awaitingPong = true
    this.#socket.ping()
  }

  /** Whether the closing handshake has begun, from either side. */
  get isClosing(): boolean {
    return this.#socket.readyState !== this.#socket.OPEN
  }

  heardPong(): void {
    this.#awaitingPong = false
  }

  /** Starts the closing handshake; the `ws` server cuts the connection when no answer comes within its `closeTimeout`. */
  close(code: number, reason: string): void {
    this.#socket.close(code, reason)
  }

  terminate(): void {
    this.#socket.terminate()
  }
}

function onPong(this: WebSocket): void {
  Connection.of(this)?.heardPong()
}

/** Where the platform has no descriptor for a socket, or the socket is closed or encrypted, there is only the stream. */
function descriptorOf(stream: Socket): number {
  const { _handle: handle } = stream as { _handle?: { readonly fd?: number } | null }
  return handle?.fd ?? -1
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN'
}
