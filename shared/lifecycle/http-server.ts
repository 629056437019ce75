/** The settings of an HTTP server on the public side, and `listen` as a promise. */
import { once } from 'node:events'
import type { ServerOptions } from 'node:http'
import type { AddressInfo, Server } from 'node:net'

/** For both services. */
export const SERVER_OPTIONS = {
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 8_192,
  // longer than balancers keep idle connections (Traefik: 90 s), so that the server never closes one that a balancer is reusing
  keepAliveTimeout: 95_000,
  // The server ignores an `Upgrade` to another protocol, as RFC 9110 §7.8 allows, and any of an HTTP/1.0 client, as it demands, and
  // answers the request without it.
  shouldUpgradeCallback: ({ httpVersion, headers }) => httpVersion !== '1.0' && headers.upgrade?.toLowerCase() === 'websocket',
} satisfies ServerOptions

/**
 * The host name for a request without a Host header: HTTP/1.0, which balancers' health checks still speak, needs none (RFC 9112
 * §3.2).
 */
export const DEFAULT_HOSTNAME = 'localhost'

/** The most connections that wait to be accepted, enough for a crowd; the kernel caps it at net.core.somaxconn. */
const BACKLOG = 4_096

export interface Address {
  /** 0 for any free one. */
  readonly port: number
  /** `::` for every address of IPv6 and IPv4. */
  readonly host: string
  /** Whether other sockets may listen on the same port: all of them must say so and belong to the same user. Default false. */
  readonly reusePort?: boolean
}

/** Resolves to the port once the server listens; rejects when it cannot. */
export async function listen(server: Server, { port, host, reusePort = false }: Address): Promise<number> {
  // without a host Node listens at `::`, or at 0.0.0.0 where the kernel has no IPv6
  server.listen({ port, ...(host === '::' ? {} : { host }), reusePort, backlog: BACKLOG })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
