/**
 * New connections: every listening socket, and both ways on from there. A connection that begins with a plain WebSocket handshake is
 * opened without HTTP; any other goes to the HTTP server.
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
  /** Stops listening, and cuts the connections that have not said anything yet. */
  close(): void
}

/**
 * The kernel queues `net.core.somaxconn` connections for a listening socket at most (4 096 by default), and drops further ones: their
 * clients try again a second later, then three. On Linux four sockets share the port, among which the kernel spreads the connections
 * (SO_REUSEPORT, socket(7)). Their queues hold everybody whom another gateway of 15 000 sockets left behind.
 */
const REUSE_PORT_SOCKETS = platform() === 'linux' ? 4 : 1

/**
 * Connections that are first read from in one turn of the event loop. A crowd that comes at once is accepted at once, which is cheap;
 * its handshakes, which are not, leave room in every turn for further connections and for everything else.
 */
const READ_PER_TURN = 32

/**
 * Creates the listener. Node's way to a WebSocket (a parser, a request, its headers, listeners put on and taken off) is a good part
 * of what a handshake costs (docs/adr/0015).
 */
export function createListener({ server, upgrade, elapsed, silenceMs }: ListenerOptions): Listener {
  const sockets: Server[] = []
  /** Connections that are not read from yet. */
  const accepted = new Set<Socket>()
  /** Connections whose first bytes are awaited, and since when, in the order of time. */
  const silent = new Map<Socket, number>()
  let isReading = false

  const accept = (connection: Socket) => {
    accepted.add(connection)
    if (isReading) return
    isReading = true
    setImmediate(readNext)
  }

  function readNext() {
    const now = elapsed()
    let left = READ_PER_TURN
    for (const connection of accepted) {
      if (left-- === 0) break
      accepted.delete(connection)
      silent.set(connection, now)
      connection.on('error', ignore).on('data', onFirstBytes).on('end', onEnd).resume()
    }
    isReading = accepted.size > 0
    if (isReading) setImmediate(readNext)
  }

  /** Shared by all connections. */
  function onFirstBytes(this: Socket, bytes: Buffer) {
    silent.delete(this)
    this.off('data', onFirstBytes).off('end', onEnd).off('error', ignore)
    const plain = readUpgradeRequest(bytes)
    // both ways expect a paused stream and resume it themselves
    this.pause()
    if (plain === undefined) {
      this.unshift(bytes)
      server.emit('connection', this)
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
      // sockets that share their port do not notice that another process has it; this one does
      const port = await freePort(address)
      try {
        while (sockets.length < REUSE_PORT_SOCKETS) {
          // as an HTTP server sets up its own, save that reading starts later
          const socket = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, accept)
          await listen(socket, { host: address.host, port, reusePort: REUSE_PORT_SOCKETS > 1 })
          sockets.push(socket)
        }
      } catch (error) {
        stopListening()
        throw error
      }
      // from this event on the HTTP server watches its connections' timeouts, whoever accepted them
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
      for (const connection of [...accepted, ...silent.keys()]) cut(connection)
      accepted.clear()
    },
  }
}

/** The port of the address, or a free one for port 0. Rejects when another socket listens there. */
async function freePort(address: Address): Promise<number> {
  const probe = createServer()
  const port = await listen(probe, address)
  await new Promise((resolve) => probe.close(resolve))
  return port
}

function ignore(): void {}
