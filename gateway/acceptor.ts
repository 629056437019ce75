/** New connections: taken from the kernel at once, heard a few at a time, and opened as WebSockets without the way through HTTP. */
import { IncomingMessage, type Server } from 'node:http'
import type { Socket } from 'node:net'
import { readUpgradeRequest } from './upgrade-request.ts'

export interface AcceptorOptions {
  /** Not listening yet. Gets every connection that does not begin with a plain request for a WebSocket. */
  readonly server: Server
  /** Takes a handshake, as it takes those of the server's `upgrade` event. */
  readonly upgrade: (request: IncomingMessage, stream: Socket, head: Buffer) => void
  /** A clock for spans, in ms. */
  readonly elapsed: () => number
  /** How long a connection may stay silent, in ms. */
  readonly silenceMs: number
}

export interface Acceptor {
  /** To be called at least once a second: cuts connections that have been silent for too long. */
  tick(): void
  /** Cuts connections that have not said anything yet. */
  close(): void
}

/**
 * Connections that are first listened to in one turn of the event loop. A crowd that comes at once is accepted at once, which is
 * cheap; its handshakes, which are not, leave room in every turn for those who still come and for everybody else.
 */
const HEARD_PER_TURN = 32

/**
 * Stands between a server's listener and its HTTP. Node's way to a WebSocket (a parser, a request, its headers, listeners put on and
 * taken off) is a good part of what a handshake costs (docs/adr/0015).
 */
export function createAcceptor({ server, upgrade, elapsed, silenceMs }: AcceptorOptions): Acceptor {
  const speakHttp = server.listeners('connection') as ((this: Server, socket: Socket) => void)[]
  server.removeAllListeners('connection')
  // an option of `net.createServer` that `http.createServer` does not pass on
  Object.assign(server, { pauseOnConnect: true })

  /** Accepted, and not listened to yet. */
  const queue = new Set<Socket>()
  /** Listened to since when, in the order of time. */
  const silent = new Map<Socket, number>()
  let isHearing = false

  server.on('connection', (socket: Socket) => {
    queue.add(socket)
    if (isHearing) return
    isHearing = true
    setImmediate(hear)
  })

  function hear() {
    const now = elapsed()
    let left = HEARD_PER_TURN
    for (const socket of queue) {
      if (left-- === 0) break
      queue.delete(socket)
      silent.set(socket, now)
      socket.on('error', ignore).on('data', onFirstBytes).on('end', onEnd).resume()
    }
    isHearing = queue.size > 0
    if (isHearing) setImmediate(hear)
  }

  /** Shared by all connections. */
  function onFirstBytes(this: Socket, bytes: Buffer) {
    silent.delete(this)
    this.off('data', onFirstBytes).off('end', onEnd).off('error', ignore)
    const plain = readUpgradeRequest(bytes)
    // as after the server's own `upgrade`, and for the HTTP server: whoever takes it over starts reading
    this.pause()
    if (plain === undefined) {
      this.unshift(bytes)
      for (const listener of speakHttp) listener.call(server, this)
      this.resume()
      return
    }
    const request = new IncomingMessage(this)
    request.method = 'GET'
    request.url = plain.target
    request.headers = plain.headers
    upgrade(request, this, plain.rest)
  }

  function onEnd(this: Socket) {
    silent.delete(this)
    this.destroy()
  }

  const cut = (socket: Socket) => {
    silent.delete(socket)
    socket.destroy()
  }
  return {
    tick() {
      const before = elapsed() - silenceMs
      for (const [socket, since] of silent) {
        if (since > before) break
        cut(socket)
      }
    },
    close() {
      for (const socket of [...queue, ...silent.keys()]) cut(socket)
      queue.clear()
    },
  }
}

function ignore(): void {}
