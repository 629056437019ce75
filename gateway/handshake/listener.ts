/**
 * Accepts new connections on all listening sockets. A connection that begins with a plain WebSocket handshake goes to `upgrade`
 * without HTTP; any other goes to the HTTP server.
 */
import { IncomingMessage, type Server as HttpServer } from 'node:http'
import { createServer, type Server, type Socket } from 'node:net'
import { platform } from 'node:os'
import { type Address, listen } from '../../shared/lifecycle/http-server.ts'
import { readUpgradeRequest } from './upgrade-request.ts'

export interface ListenerOptions {
  /** Gets the connections that begin with anything but a plain handshake. It has no listening socket of its own. */
  readonly server: HttpServer
  /** Takes a handshake; the server's `upgrade` event goes there as well. */
  readonly upgrade: (request: IncomingMessage, stream: Socket, head: Buffer) => void
  /** Whether a new connection may stay; where it may not, it has been cut. */
  readonly admit: (connection: Socket) => boolean
  /** A clock for spans, in ms. */
  readonly elapsed: () => number
  /** How long a connection may stay silent, in ms. */
  readonly silenceMs: number
}

export interface Listener {
  /** Resolves to the port once all sockets listen there; rejects when one cannot, and then none does. */
  listen(address: Address): Promise<number>
  /** To be called at least once a second: cuts connections that have been silent for too long. */
  tick(): void
  /** Stops listening, and cuts the connections that have sent nothing yet. */
  close(): void
}

/**
 * The kernel queues at most `net.core.somaxconn` connections for a listening socket (4 096 by default) and drops further ones,
 * whose clients try again only after a second, then three. On Linux four sockets therefore share the port, and the kernel spreads
 * the connections among them (SO_REUSEPORT, socket(7)). Their queues together hold the clients of a lost gateway with 15 000
 * sockets (docs/adr/0015).
 */
const REUSE_PORT_SOCKETS = platform() === 'linux' ? 4 : 1

/**
 * The most connections whose first bytes are taken up in one turn of the event loop. A crowd that connects before it sends has its bytes
 * here in one turn, a thousand and more together; handshakes and requests are costly, so the limit leaves time for everything else.
 */
const BEGUN_PER_TURN = 32

/**
 * Creates the listener. A plain handshake bypasses Node's HTTP server to save its parser, request and listeners (docs/adr/0015).
 */
export function createListener({ server, upgrade, admit, elapsed, silenceMs }: ListenerOptions): Listener {
  const sockets: Server[] = []
  /** Connections that have sent nothing yet, and since when the listener reads from them, oldest first. */
  const silent = new Map<Socket, number>()
  /** Connections whose first bytes wait for their turn, first come, first served. */
  const arrived = new Map<Socket, Buffer>()
  let isBeginning = false

  const accept = (connection: Socket) => {
    if (!admit(connection)) return
    silent.set(connection, elapsed())
    connection.on('error', ignore).on('data', onFirstBytes).on('end', onEnd).resume()
  }

  /** One listener function for all connections. */
  function onFirstBytes(this: Socket, bytes: Buffer) {
    silent.delete(this)
    // the HTTP server and `upgrade` both expect a paused stream
    this.off('data', onFirstBytes).off('end', onEnd).pause()
    arrived.set(this, bytes)
    if (isBeginning) return
    isBeginning = true
    setImmediate(beginNext)
  }

  function beginNext() {
    let left = BEGUN_PER_TURN
    for (const [connection, bytes] of arrived) {
      if (left-- === 0) break
      arrived.delete(connection)
      if (!connection.destroyed) begin(connection, bytes)
    }
    isBeginning = arrived.size > 0
    if (isBeginning) setImmediate(beginNext)
  }

  const begin = (connection: Socket, bytes: Buffer) => {
    connection.off('error', ignore)
    const plain = readUpgradeRequest(bytes)
    if (plain === undefined) {
      connection.unshift(bytes)
      server.emit('connection', connection)
      connection.resume()
      return
    }
    const request = new IncomingMessage(connection)
    request.method = 'GET'
    request.url = plain.target
    request.headers = plain.headers
    upgrade(request, connection, plain.rest)
  }

  function onEnd(this: Socket) {
    cut(this)
  }

  const cut = (connection: Socket) => {
    silent.delete(connection)
    connection.destroy()
  }

  const stopListening = () => {
    for (const socket of sockets.splice(0)) socket.close()
  }

  return {
    async listen(address) {
      // sockets that share a port do not fail when another process listens there, so an ordinary one is bound first
      const port = await freePort(address)
      try {
        while (sockets.length < REUSE_PORT_SOCKETS) {
          // the options of an HTTP server's own sockets, but for `pauseOnConnect`: reading starts with the listeners
          const socket = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, accept)
          await listen(socket, { host: address.host, port, reusePort: REUSE_PORT_SOCKETS > 1 })
          sockets.push(socket)
        }
      } catch (error) {
        stopListening()
        throw error
      }
      // on this event the HTTP server starts to check its connections for timeouts, even those that it did not accept itself
      server.emit('listening')
      return port
    },
    tick() {
      const before = elapsed() - silenceMs
      for (const [connection, since] of silent) {
        if (since > before) break
        cut(connection)
      }
    },
    close() {
      stopListening()
      for (const connection of silent.keys()) cut(connection)
    },
  }
}

/** Resolves to the port of the address, or to a free one for port 0. Rejects when another socket listens there. */
async function freePort(address: Address): Promise<number> {
  const probe = createServer()
  const port = await listen(probe, address)
  await new Promise((resolve) => probe.close(resolve))
  return port
}

function ignore(): void {}
