/** Several listening sockets on one port, for one server: the kernel keeps a queue of its own for each. */
import type { Server as HttpServer } from 'node:http'
import { createServer, type Server } from 'node:net'
import { platform } from 'node:os'
import { type Address, listen } from '../shared/lifecycle/http-server.ts'

export interface WideListener {
  readonly port: number
  /** Closes all but the server's own, which whoever drains the server closes. */
  close(): void
}

/**
 * The kernel queues `net.core.somaxconn` connections for a listening socket at most (4 096 by default), and drops who comes beyond that:
 * they try again a second later, then three. Four such queues hold everybody whom another gateway of 15 000 sockets left behind.
 */
const SOCKETS = 4

/**
 * Listens at the address, on Linux through several sockets among which the kernel spreads the connections (SO_REUSEPORT, socket(7)).
 * `server` gets all connections. Rejects when it cannot listen there, as one socket would.
 */
export async function listenWide(server: HttpServer, address: Address): Promise<WideListener> {
  if (platform() !== 'linux') return { port: await listen(server, address), close() {} }
  const reuse = { host: address.host, reusePort: true }
  // sockets that share their port do not notice that somebody else's process has it, too; this one does
  const scout = createServer()
  const port = await listen(scout, address)
  await new Promise((resolve) => scout.close(resolve))
  await listen(server, { ...reuse, port })

  // whether an acceptor starts the reading
  const { pauseOnConnect = false } = server as { readonly pauseOnConnect?: boolean }
  const others: Server[] = []
  const close = () => others.forEach((other) => other.close())
  try {
    while (others.length < SOCKETS - 1) {
      // otherwise as an HTTP server sets up its own
      const other = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect }, (socket) =>
        server.emit('connection', socket),
      )
      await listen(other, { ...reuse, port })
      others.push(other)
    }
  } catch (error) {
    server.close()
    close()
    throw error
  }
  return { port, close }
}
