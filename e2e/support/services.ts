import { Redis } from 'ioredis'
import { Client } from 'pg'
import { canInstall, installPackages } from './debian.ts'
import { dockerHas } from './docker.ts'
import { installedPostgres, installedRedis } from './installed.ts'
import { POSTGRES_IMAGE, startPostgres } from './postgres-service.ts'
import { REDIS_IMAGE, startRedis } from './redis-service.ts'

/** A real Redis or Postgres for the test run. */
export interface Service {
  readonly url: string
  /** Where it comes from, to be printed; without a password. */
  readonly origin: string
  stop(): Promise<void>
}

export interface Services {
  readonly redis: Service
  readonly postgres: Service
}

/** Nothing on this machine can be the service; the message says in one line what to install. */
export class ServiceMissingError extends Error {
  override readonly name = 'ServiceMissingError'
}

/** Finds or starts both services. Calls `keep` with each as soon as it runs, so that the caller can stop it if the other fails. */
export async function provideServices(env: NodeJS.ProcessEnv, keep: (service: Service) => void): Promise<Services> {
  const redisUrl = env['REDIS_URL']
  const databaseUrl = env['DATABASE_URL']
  await installMissing({ redis: redisUrl === undefined, postgres: databaseUrl === undefined })
  const kept = async (starting: Promise<Service>) => {
    const service = await starting
    keep(service)
    return service
  }
  const [redis, postgres] = [
    kept(redisUrl === undefined ? startRedis() : givenRedis(redisUrl)),
    kept(databaseUrl === undefined ? startPostgres() : givenPostgres(databaseUrl)),
  ]
  // when one fails, the other may still be starting: `keep` is called with it before the caller stops the services
  await Promise.allSettled([redis, postgres])
  return { redis: await redis, postgres: await postgres }
}

async function installMissing(wanted: { redis: boolean; postgres: boolean }): Promise<void> {
  const missing: string[] = []
  if (wanted.redis && (await installedRedis()) === undefined && !(await dockerHas(REDIS_IMAGE))) missing.push('redis-server')
  if (wanted.postgres && (await installedPostgres()) === undefined && !(await dockerHas(POSTGRES_IMAGE)))
    missing.push('postgresql')
  if (missing.length === 0) return
  const what = missing.join(' and ')
  if (!(await canInstall())) {
    throw new ServiceMissingError(`the tests need ${what}: install it, start a Docker engine, or set REDIS_URL and DATABASE_URL`)
  }
  await installPackages(missing).catch((cause: unknown) => {
    const said = cause instanceof Error ? cause.message : String(cause)
    throw new ServiceMissingError(`the tests need ${what}, and it could not be installed: ${said.replaceAll(/\s+/g, ' ')}`, {
      cause,
    })
  })
}

async function givenRedis(url: string): Promise<Service> {
  const redis = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 0, retryStrategy: () => null, disconnectTimeout: 100 })
  let refusal: unknown // ioredis emits the reason as an event, and `connect` rejects without it
  redis.on('error', (error) => {
    refusal = error
  })
  try {
    await redis.connect()
    await redis.ping()
  } catch (error) {
    const cause = refusal ?? error
    throw new ServiceMissingError(`REDIS_URL is set, and nothing answers there: ${reason(cause)}`, { cause })
  } finally {
    redis.disconnect()
  }
  return { url, origin: 'REDIS_URL', stop: () => Promise.resolve() }
}

async function givenPostgres(url: string): Promise<Service> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  let mayCreate: boolean
  try {
    await client.connect()
    const { rows } = await client.query<{ may: boolean }>(
      'SELECT rolcreatedb OR rolsuper AS may FROM pg_roles WHERE rolname = current_user',
    )
    mayCreate = rows[0]?.may === true
  } catch (cause) {
    throw new ServiceMissingError(`DATABASE_URL is set, and Postgres does not answer there: ${reason(cause)}`, { cause })
  } finally {
    await client.end()
  }
  if (!mayCreate) throw new ServiceMissingError('the user in DATABASE_URL may not create databases: ALTER ROLE … CREATEDB')
  return { url, origin: 'DATABASE_URL', stop: () => Promise.resolve() }
}

function reason(cause: unknown): string {
  // for a name with several addresses the error has one inner error for each
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause
  return first instanceof Error ? first.message : String(first)
}
