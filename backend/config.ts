/** The backend's environment. */
import { bearerToken, integer, lines, port, secretText, text, type Variable } from '../shared/config/env.ts'
import { CONFIG_EXIT_CODE, loadVariables, type Host } from '../shared/config/load.ts'
import {
  drainVariables,
  hostVariable,
  logLevelVariable,
  metricsPortVariable,
  redisVariables,
} from '../shared/config/service-variables.ts'
import { databaseUrl } from './database/hosts.ts'

/** How many characters the admin token and the cookie secret have at least. */
export const MIN_SECRET_LENGTH = 16

/** For replacing a secret while voters and organisers go on (docs/operating.md). */
export const previousSecretVariables = {
  ADMIN_TOKEN_PREVIOUS: {
    schema: lines(bearerToken(MIN_SECRET_LENGTH)),
    fallback: '',
    description: 'further admin tokens, one a line, while ADMIN_TOKEN is being replaced',
    secret: true,
  },
  COOKIE_SECRET_PREVIOUS: {
    schema: lines(secretText(MIN_SECRET_LENGTH)),
    fallback: '',
    description: 'further secrets, one a line, whose voter cookies are good, while COOKIE_SECRET is being replaced',
    secret: true,
  },
} satisfies Record<string, Variable<string[]>>

export const backendVariables = {
  PORT: { schema: port, fallback: '8081', description: 'port to listen on' },
  HOST: hostVariable,
  METRICS_PORT: metricsPortVariable,
  DATABASE_URL: {
    schema: databaseUrl,
    description: 'such as postgres://livetally@postgres/livetally; of several hosts (a,b) the one that takes writes is used',
    secret: true,
  },
  DATABASE_DIRECT_URL: {
    schema: databaseUrl,
    optional: true,
    description: 'the same database directly, where DATABASE_URL leads to a pooler',
    secret: true,
  },
  ...redisVariables,
  ADMIN_TOKEN: {
    schema: bearerToken(MIN_SECRET_LENGTH),
    description: 'who sends it as a bearer token may create and change polls',
    secret: true,
  },
  COOKIE_SECRET: {
    schema: secretText(MIN_SECRET_LENGTH),
    description: 'signs the voter cookies; the same for all replicas',
    secret: true,
  },
  ...previousSecretVariables,
  BATCH_MAX: { schema: integer(1, 10_000), fallback: '1000', description: 'votes per transaction at most' },
  TALLIES_PER_SECOND: {
    schema: integer(1, 20),
    fallback: '20',
    description: 'how often a poll is published at most; each time is one frame to every socket',
  },
  INGEST_REDIS_LIST: {
    schema: text,
    optional: true,
    description: 'a Redis list of {"voter_id","vote"} that another program fills; its votes go into INGEST_POLL',
  },
  INGEST_POLL: { schema: text, optional: true, description: 'the poll that takes the votes of INGEST_REDIS_LIST' },
  LOG_LEVEL: logLevelVariable,
  DRAIN_NOTICE_MS: drainVariables.DRAIN_NOTICE_MS,
  DRAIN_DEADLINE_MS: drainVariables.DRAIN_DEADLINE_MS,
} satisfies Record<string, Variable<unknown>>

export function loadBackendConfig(host: Host) {
  const env = loadVariables(host, 'Livetally backend: owns Postgres, takes the votes, publishes the tallies.', backendVariables)
  return Object.freeze({
    port: env.PORT,
    host: env.HOST,
    metricsPort: env.METRICS_PORT,
    databaseUrl: env.DATABASE_URL,
    databaseDirectUrl: env.DATABASE_DIRECT_URL,
    redisUrl: env.REDIS_URL,
    redisCa: env.REDIS_CA,
    redisNamespace: env.REDIS_NAMESPACE,
    adminTokens: [env.ADMIN_TOKEN, ...env.ADMIN_TOKEN_PREVIOUS],
    cookieSecret: env.COOKIE_SECRET,
    previousCookieSecrets: env.COOKIE_SECRET_PREVIOUS,
    batchMax: env.BATCH_MAX,
    talliesPerSecond: env.TALLIES_PER_SECOND,
    ingest: ingestOf(host, env),
    logLevel: env.LOG_LEVEL,
    drain: { noticeMs: env.DRAIN_NOTICE_MS, deadlineMs: env.DRAIN_DEADLINE_MS },
  })
}

/** Both variables or none. */
function ingestOf(host: Host, env: { readonly INGEST_REDIS_LIST?: string; readonly INGEST_POLL?: string }) {
  const { INGEST_REDIS_LIST: list, INGEST_POLL: slug } = env
  if (list === undefined && slug === undefined) return undefined
  if (list !== undefined && slug !== undefined) return { list, slug }
  host.stderr.write('INGEST_REDIS_LIST and INGEST_POLL go together: set both or none\n')
  return host.exit(CONFIG_EXIT_CODE)
}
