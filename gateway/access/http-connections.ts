/**
 * Limits the open connections that are no WebSockets: those that carry requests, are idle between two of them, or have said nothing yet.
 * One address gets half of them, so that it cannot use up the open files of this process; a trusted proxy brings many clients and is
 * bound by the whole alone.
 */
import type { Socket } from 'node:net'
import { readAddress } from './forwarded.ts'
import { networkOf } from './network.ts'
import { createPlaces } from './places.ts'

export interface HttpConnectionsOptions {
  /** The most that may be open; 0 for no limit. */
  readonly max: number
  readonly isProxy: (address: string) => boolean
  /** Closes the connections that are idle between two requests. */
  readonly closeIdle: () => void
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Called with each connection that is refused. */
  readonly onRefused?: (address: string) => void
}

export interface HttpConnections {
  /** Counts a new connection until it closes or `upgraded` is called. Cuts it and returns false where there are too many. */
  admit(connection: Socket): boolean
  /** The connection is a WebSocket from now on, and counts among those. */
  upgraded(connection: Socket): void
}

/**
 * From this part of the places on, idle connections are closed. A browser opens up to six and needs none of them once its page is loaded,
 * so without a balancer a hall would else shut itself out. Behind a balancer no stranger comes this far, and its idle ones stay.
 */
const SCARCE = 0.75
/** No more often than this, in ms: it looks at every connection. */
const CLOSE_IDLE_EVERY_MS = 1_000

export function createHttpConnections(options: HttpConnectionsOptions): HttpConnections {
  const { max, isProxy, closeIdle, now, onRefused = () => {} } = options
  const places = createPlaces(max === 0 ? { max: Infinity, maxPerAddress: Infinity } : { max, maxPerAddress: Math.ceil(max / 2) })
  /** The connections that are open, and for whom each counts. */
  const open = new Map<Socket, string>()
  let closedIdleAt = -Infinity

  const makeRoom = (client: string) => {
    if (places.taken(client) < SCARCE || now() - closedIdleAt < CLOSE_IDLE_EVERY_MS) return
    closedIdleAt = now()
    closeIdle()
  }

  const leave = (connection: Socket) => {
    const client = open.get(connection)
    if (client === undefined) return
    open.delete(connection)
    places.leave(client)
  }
  /** One listener function for all connections. */
  function onClose(this: Socket) {
    leave(this)
  }

  return {
    admit(connection) {
      const address = readAddress(connection.remoteAddress ?? '') ?? ''
      // each connection of a proxy counts for a client of its own
      const client = isProxy(address) ? `${address} ${connection.remotePort}` : networkOf(address)
      makeRoom(client)
      if (places.enter(client) !== 'admitted') {
        onRefused(address)
        connection.destroy()
        return false
      }
      open.set(connection, client)
      connection.once('close', onClose)
      return true
    },
    upgraded(connection) {
      connection.off('close', onClose)
      leave(connection)
    },
  }
}
