/** The variables that services share, described once. */
import { z } from 'zod'
import { durationMs, integer, oneOf, port, text, type Variable } from './env.ts'

/** `::` is every address of IPv6 and IPv4. */
export const hostVariable: Variable<string> = { schema: text, fallback: '::', description: 'address to listen on' }

export const logLevelVariable = {
  schema: oneOf('debug', 'info', 'warn', 'error', 'silent'),
  fallback: 'info',
  description: 'debug, info, warn, error or silent',
} satisfies Variable<unknown>

export const drainVariables = {
  DRAIN_NOTICE_MS: {
    schema: durationMs,
    fallback: '5000',
    description: 'how long to serve on after SIGTERM until the balancer has noticed',
  },
  DRAIN_SPREAD_MS: { schema: durationMs, fallback: '10000', description: 'over how long the sockets are asked to move' },
  DRAIN_DEADLINE_MS: {
    schema: integer(100, 3_600_000),
    fallback: '25000',
    description: 'for the whole shutdown; the stop grace period must be longer',
  },
} satisfies Record<string, Variable<number>>

/** Several hosts are no URL; what comes behind the scheme is read where it is connected to. */
const redisUrl = z
  .string()
  .regex(
    /^rediss?(?:\+sentinel|\+cluster)?:\/\/./,
    'must start with redis://, redis+sentinel:// or redis+cluster://, or the same with rediss for TLS',
  )

export const redisVariables = {
  REDIS_URL: {
    schema: redisUrl,
    description: 'redis://host:6379, redis+sentinel://host:26379,host/master or redis+cluster://host:6379,host; rediss for TLS',
    secret: true,
  },
  REDIS_CA: {
    schema: text,
    optional: true,
    description: 'certificates (PEM) to trust where REDIS_URL says TLS, instead of the public ones',
    secret: true,
  },
  REDIS_NAMESPACE: { schema: text, fallback: 'livetally', description: 'prefix of every Redis key and channel' },
} satisfies Record<string, Variable<string>>

export const metricsPortVariable: Variable<number> = {
  schema: port,
  fallback: '9464',
  description: 'port of /metrics; not for the balancer',
}
