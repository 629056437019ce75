/** Gateways and backends as real processes on the test run's Postgres and Redis, each cluster with a database and a namespace of its own. */
import { join } from 'node:path'
import { startChild, type Child } from './child.ts'
import { connectPostgres } from '../../backend/database/postgres.ts'
import { createTestLog } from './databases-under-test.ts'
import { makeRoles, type Roles } from './roles.ts'
import { createTestDatabase } from './test-database.ts'
import { testRedis } from './test-redis.ts'

export const ADMIN_TOKEN = 'an-admin-token-for-tests'
export const COOKIE_SECRET = 'a-cookie-secret-for-tests'

/** A service process and where it listens. */
export interface Running {
  readonly child: Child
  readonly url: string
}

export interface ClusterOptions {
  readonly backends?: number
  readonly gateways?: number
  /** A Postgres and a Redis of the test's own, which it may stop or kill, in place of the test run's. */
  readonly servers?: { readonly databaseUrl: string; readonly redisUrl: string }
  /**
   * Whether backends run as the role that owns everything, and so may adopt tables; otherwise, on the test run's Postgres, as one that may
   * only read and write rows.
   */
  readonly asOwner?: boolean
  /** Further variables for every process. */
  readonly env?: Readonly<Record<string, string>>
}

export interface Cluster {
  readonly backends: Running[]
  readonly gateways: Running[]
  readonly databaseUrl: string
  readonly redis: { readonly url: string; readonly namespace: string }
  /**
   * Starts one more service of a kind; a gateway forwards to the backends that run when it is started. `root` is where another version of
   * the project is.
   */
  startBackend(env?: Readonly<Record<string, string>>, root?: string): Promise<Running>
  startGateway(env?: Readonly<Record<string, string>>, root?: string): Promise<Running>
  /** Asks the API of a gateway as the organiser. */
  admin(method: string, path: string, body: unknown): Promise<Response>
  [Symbol.asyncDispose](): Promise<void>
}

/** Enough for a start on an overloaded machine. */
const START = { timeoutMs: 60_000 }

const QUICK_DRAIN = { DRAIN_NOTICE_MS: '0', DRAIN_SPREAD_MS: '300', DRAIN_DEADLINE_MS: '5000' }

export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const { backends = 1, gateways = 1, servers, asOwner = false, env = {} } = options
  const database = servers === undefined ? await createTestDatabase() : { url: servers.databaseUrl, drop: async () => {} }
  const roles = servers === undefined && !asOwner ? await makeTables(database.url) : undefined
  const redis = servers === undefined ? testRedis() : { url: servers.redisUrl, namespace: 'livetally', forget: async () => {} }
  const shared = {
    PORT: '0',
    HOST: '127.0.0.1',
    METRICS_PORT: '0',
    REDIS_URL: redis.url,
    REDIS_NAMESPACE: redis.namespace,
    LOG_LEVEL: 'info',
    ...QUICK_DRAIN,
    ...env,
  }
  const cluster: Cluster = {
    backends: [],
    gateways: [],
    databaseUrl: database.url,
    redis: { url: redis.url, namespace: redis.namespace },
    async startBackend(more = {}, root = '') {
      const secrets = { DATABASE_URL: roles?.appUrl ?? database.url, ADMIN_TOKEN, COOKIE_SECRET }
      const running = await startService(join(root, 'backend/main.ts'), { ...shared, ...secrets, ...more })
      cluster.backends.push(running)
      return running
    },
    async startGateway(more = {}, root = '') {
      const urls = cluster.backends.map(({ url }) => url).join(',')
      const running = await startService(join(root, 'gateway/main.ts'), { ...shared, BACKEND_URL: urls, ...more })
      cluster.gateways.push(running)
      return running
    },
    admin: async (method, path, body) =>
      await fetch(new URL(path, cluster.gateways[0]?.url), {
        method,
        headers: { 'content-type': 'application/json', authorization: `Bearer ${ADMIN_TOKEN}` },
        body: JSON.stringify(body),
      }),
    async [Symbol.asyncDispose]() {
      await Promise.all([...cluster.gateways, ...cluster.backends].map(({ child }) => child[Symbol.asyncDispose]()))
      await Promise.all([database.drop(), redis.forget()])
      await roles?.drop()
    },
  }
  try {
    await Promise.all(Array.from({ length: backends }, () => cluster.startBackend()))
    await Promise.all(Array.from({ length: gateways }, () => cluster.startGateway()))
  } catch (error) {
    await cluster[Symbol.asyncDispose]()
    throw error
  }
  return cluster
}

/** Makes the roles, and the tables as their owner. */
async function makeTables(url: string): Promise<Roles | undefined> {
  const roles = await makeRoles(url)
  if (roles !== undefined) await (await connectPostgres({ url: roles.ownerUrl, log: createTestLog() })).close()
  return roles
}

async function startService(entry: string, env: Readonly<Record<string, string>>): Promise<Running> {
  const child = startChild({ entry, env })
  try {
    const { port } = await child.logged((line) => line.msg === 'listening', START)
    const url = `http://${env['HOST'] === '::1' ? '[::1]' : '127.0.0.1'}:${Number(port)}`
    await child.answers(`${url}/ready`, START)
    return { child, url }
  } catch (error) {
    await child[Symbol.asyncDispose]()
    throw error
  }
}

/** A browser as the API sees it: it keeps its cookie. */
export async function createVoter(url: string, poll: string) {
  const greeting = await fetch(`${url}/api/polls/${poll}`)
  const cookie = greeting.headers.getSetCookie()[0]?.split(';', 1)[0] ?? ''
  await greeting.body?.cancel()
  return {
    cookie,
    /** Votes through any gateway. */
    vote: async (at: string, option: string) =>
      await fetch(`${at}/api/polls/${poll}/vote`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json', cookie },
        body: JSON.stringify({ option }),
      }),
  }
}
