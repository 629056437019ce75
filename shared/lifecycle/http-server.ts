/** Settings of an HTTP server that faces strangers, and listening as a promise. */
import { once } from 'node:events'
import type { ServerOptions } from 'node:http'
import type { AddressInfo, Server } from 'node:net'

/** For both services. */
export const SERVER_OPTIONS = {
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 1_000,
  maxHeaderSize: 8_192,
  // longer than balancers keep idle connections (Traefik: 90 s), so that it is never us who closes one being reused
  keepAliveTimeout: 95_000,
  // an `Upgrade` that nobody here speaks is ignored, as RFC 9110 §7.8 allows, instead of waiting for an answer for ever
  shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
} satisfies ServerOptions

/** Who we are to a request without a Host header: HTTP/1.0, which balancers' health checks still speak, needs none (RFC 9112 §3.2). */
export const DEFAULT_HOSTNAME = 'localhost'

/** As many as a crowd that arrives at once; the kernel caps it at net.core.somaxconn. */
const BACKLOG = 4_096

export interface Address {
  /** 0 for any that is free. */
  readonly port: number
  readonly host: string
  /** Whether other sockets may listen there as well; only where all of them say so, and of the same user. Default false. */
  readonly reusePort?: boolean
}

/** Resolves to the port once the server listens; rejects when it cannot. */
export async function listen(server: Server, { port, host, reusePort = false }: Address): Promise<number> {
  server.listen({ port, host, reusePort, backlog: BACKLOG })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}
