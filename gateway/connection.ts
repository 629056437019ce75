/** One socket: what was sent when, whether it still answers, and how it ends. */
import type { WebSocket } from 'ws'

export interface ConnectionOptions {
  readonly socket: WebSocket
  /** The polls it follows, in the order asked for. */
  readonly polls: readonly string[]
  readonly now: number
}

export class Connection {
  readonly polls: readonly string[]
  /** When the last frame was written, ms since the epoch. */
  lastSentAt: number
  readonly #socket: WebSocket
  #pingedAt: number
  #awaitingPong = false

  constructor({ socket, polls, now }: ConnectionOptions) {
    this.#socket = socket
    this.polls = polls
    this.lastSentAt = now
    this.#pingedAt = now
    socket.on('pong', () => {
      this.#awaitingPong = false
    })
  }

  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN
  }

  send(frame: string, now: number): void {
    if (!this.isOpen) return
    this.lastSentAt = now
    this.#socket.send(frame)
  }

  /**
   * Pings (RFC 6455 §5.5.2) when the last ping is older than `intervalMs`; false when that one was never answered, and the
   * connection is then cut.
   */
  checkAlive(now: number, intervalMs: number): boolean {
    if (now - this.#pingedAt < intervalMs) return true
    if (this.#awaitingPong) {
      this.#socket.terminate()
      return false
    }
    this.#pingedAt = now
    this.#awaitingPong = true
    if (this.isOpen) this.#socket.ping()
    return true
  }

  /** Starts the closing handshake; the `ws` server cuts the connection when no answer comes within its `closeTimeout`. */
  close(code: number, reason: string): void {
    this.#socket.close(code, reason)
  }

  terminate(): void {
    this.#socket.terminate()
  }
}
