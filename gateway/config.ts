/** The gateway's environment. */
import { integer, list, port, url, type Values, type Variable } from '../shared/config/env.ts'
import { loadVariables, type Host } from '../shared/config/load.ts'
import {
  drainVariables,
  hostVariable,
  logLevelVariable,
  metricsPortVariable,
  redisVariables,
} from '../shared/config/service-variables.ts'
import { originItem } from './access/allowed-origins.ts'
import { proxyItem } from './access/client-address.ts'
import type { Limited } from './access/request-limits.ts'

/** The variables of the edge, whether it has a process of its own or shares one with the backend. */
export const edgeVariables = {
  ALLOWED_ORIGINS: {
    schema: list(originItem),
    fallback: '',
    description: 'further origins that may open sockets and vote, comma-separated; its own is always allowed',
  },
  TRUST_PROXY: {
    schema: list(proxyItem),
    fallback: '',
    description: 'each proxy on the way, whose word on the client is believed: address, CIDR range, loopback or private',
  },
  MAX_SOCKETS: { schema: integer(1, 1_000_000), fallback: '20000', description: 'open WebSockets per process; more get 503' },
  MAX_SOCKETS_PER_ADDRESS: {
    schema: integer(1, 1_000_000),
    optional: true,
    description: 'open WebSockets from one address; more get 429; half of `MAX_SOCKETS` when unset',
  },
  HANDSHAKES_PER_SECOND: {
    schema: integer(1, 1_000_000),
    fallback: '5000',
    description: 'new WebSockets a second per process, four seconds at once; more get 503; one address gets half',
  },
  MAX_CONNECTIONS: {
    schema: integer(0, 1_000_000),
    fallback: '20000',
    description: 'open connections per process besides WebSockets; more are cut; one address gets half; 0: no limit',
  },
  VOTES_PER_ADDRESS: {
    schema: integer(0, 1_000_000),
    fallback: '10000',
    description: 'votes from one address in 10 s per process; more get 429; 0: no limit',
  },
  VOTERS_PER_ADDRESS: {
    schema: integer(0, 1_000_000),
    fallback: '5000',
    description: 'new voter cookies for one address in a minute per process; more get 429; 0: no limit',
  },
  HISTORIES_PER_ADDRESS: {
    schema: integer(0, 1_000_000),
    fallback: '2000',
    description: 'histories and exports for one address in 10 s per process; more get 429; 0: no limit',
  },
  SLOW_CLIENT_MS: {
    schema: integer(100, 600_000),
    fallback: '10000',
    description: 'how long a socket may leave its bytes or a ping unanswered before it is closed with 1013',
  },
} satisfies Record<string, Variable<unknown>>

export const gatewayVariables = {
  PORT: { schema: port, fallback: '8080', description: 'port to listen on' },
  HOST: hostVariable,
  METRICS_PORT: metricsPortVariable,
  ...redisVariables,
  BACKEND_URL: {
    schema: list(url('http:', 'https:')).refine((urls) => urls.length > 0, 'must name at least one backend'),
    description: 'where /api goes; several, comma-separated, are tried in turn',
  },
  ...edgeVariables,
  LOG_LEVEL: logLevelVariable,
  ...drainVariables,
} satisfies Record<string, Variable<unknown>>

/** Limits of the edge. */
export interface EdgeConfig {
  readonly allowedOrigins: readonly string[]
  readonly trustedProxies: readonly string[]
  readonly maxSockets: number
  readonly maxSocketsPerAddress: number
  readonly handshakesPerSecond: number
  /** 0 for no limit, here and in the quotas. */
  readonly maxConnections: number
  readonly quotas: Readonly<Record<Limited, number>>
  readonly slowClientMs: number
}

/** Durations of a shutdown, in ms. */
export interface DrainConfig {
  readonly noticeMs: number
  readonly spreadMs: number
  readonly deadlineMs: number
}

export function edgeConfig(env: Values<typeof edgeVariables>): EdgeConfig {
  return {
    allowedOrigins: env.ALLOWED_ORIGINS,
    trustedProxies: env.TRUST_PROXY,
    maxSockets: env.MAX_SOCKETS,
    maxSocketsPerAddress: env.MAX_SOCKETS_PER_ADDRESS ?? Math.ceil(env.MAX_SOCKETS / 2),
    handshakesPerSecond: env.HANDSHAKES_PER_SECOND,
    maxConnections: env.MAX_CONNECTIONS,
    quotas: { votes: env.VOTES_PER_ADDRESS, voters: env.VOTERS_PER_ADDRESS, histories: env.HISTORIES_PER_ADDRESS },
    slowClientMs: env.SLOW_CLIENT_MS,
  }
}

/** What the deadline leaves, in ms, once the last socket was told to close: for closing handshakes and for requests under way. */
const LEAVING_MS = 7_000

/** A deadline that comes earlier would cut sockets without a word. Where all else is shorter than `LEAVING_MS`, as much again will do. */
function drainProblems(env: Values<typeof gatewayVariables>): string[] {
  const { DRAIN_NOTICE_MS: noticeMs, DRAIN_SPREAD_MS: spreadMs, DRAIN_DEADLINE_MS: deadlineMs } = env
  const closedMs = noticeMs + spreadMs
  const enoughMs = closedMs + Math.min(LEAVING_MS, closedMs)
  if (deadlineMs >= enoughMs) return []
  return [
    `DRAIN_DEADLINE_MS must be at least ${enoughMs} where DRAIN_NOTICE_MS is ${noticeMs} and DRAIN_SPREAD_MS is ${spreadMs}, ` +
      `not ${deadlineMs}: sockets would be cut before their clients could move; the stop grace period must be longer still`,
  ]
}

export type GatewayConfig = ReturnType<typeof loadGatewayConfig>

export function loadGatewayConfig(host: Host) {
  const usage = 'Livetally gateway: terminates WebSockets, serves the pages, forwards /api.'
  const env = loadVariables(host, usage, gatewayVariables, drainProblems)
  return Object.freeze({
    port: env.PORT,
    host: env.HOST,
    metricsPort: env.METRICS_PORT,
    redisUrl: env.REDIS_URL,
    redisCa: env.REDIS_CA,
    redisNamespace: env.REDIS_NAMESPACE,
    backendUrls: env.BACKEND_URL,
    edge: edgeConfig(env),
    logLevel: env.LOG_LEVEL,
    drain: {
      noticeMs: env.DRAIN_NOTICE_MS,
      spreadMs: env.DRAIN_SPREAD_MS,
      deadlineMs: env.DRAIN_DEADLINE_MS,
    } satisfies DrainConfig,
  })
}
