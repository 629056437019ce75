/** Opens a Postgres server: its connections, their timeouts, and its tables brought up to date. */
import { Client, type ClientBase, type ClientConfig, Pool } from 'pg'
import { CannotWork } from '../../shared/lifecycle/retry.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import type { Database, PooledOptions, SessionOptions, Statement } from './database.ts'
import { DatabaseUnavailable, isConnectionFault, sqlState } from './errors.ts'
import { createHosts, placeOf, type Hosts } from './hosts.ts'
import type { Mark } from './identity.ts'
import { migrate } from './migrate.ts'
import { connectSession, type ConnectOptions, createDatabase, localSettings, toError } from './pool.ts'
import { keepsSession, mustBeSameDatabase } from './pooler.ts'
import { createPrimary, cut, WITHOUT_TABLES } from './primary.ts'
import { mustHaveRights, mustMigrate } from './rights.ts'

export interface PostgresOptions {
  /** postgres://user:password@host:port/database, with further hosts after commas: the one that takes writes is used. */
  readonly url: string
  /** The same database without the pooler that `url` leads to. Where it is absent, `url` must not lead to one that lends sessions. */
  readonly directUrl?: string | undefined
  readonly log: Log
  /** How far the database was seen before: one that has not come so far begins new epochs. */
  readonly after?: Mark | undefined
  /** Connections for HTTP requests, beside the sessions of the ballot box and the poller. Default 6. */
  readonly maxConnections?: number
  /** Whether to bring the tables up to date first. Default true. */
  readonly migrations?: boolean
}

const CONNECT_MS = 2_000
/** Where there are further hosts to be tried. */
const CONNECT_NEXT_MS = 1_000
const QUERY_MS = 3_000
const STATEMENT_MS = 2_500
const LOCK_MS = 1_000
/** Postgres, appendix A. */
const LOCK_NOT_AVAILABLE = '55P03'

/**
 * Reaches the server, brings its tables up to date and opens the pool. Throws `DatabaseUnavailable` when the server cannot be reached or
 * used now, and `CannotWork` where the settings have to be changed.
 */
export async function connectPostgres(options: PostgresOptions): Promise<Database> {
  const { url, directUrl = url, log, after } = options
  const primary = createPrimary({ log, after })
  const hosts = createHosts(url)
  const directHosts = directUrl === url ? hosts : createHosts(directUrl)
  const openSession = async ({ label, settings = {}, statementTimeoutMs = STATEMENT_MS }: SessionOptions) => {
    const session = await connectTo(directHosts, label, statementTimeoutMs, { primary })
    try {
      await session.query(...settingAll({ ...timeouts(statementTimeoutMs), ...settings }))
      return session
    } catch (error) {
      await session.close()
      throw error
    }
  }
  const openPooled = async ({ label, settings = {}, first }: PooledOptions) => {
    const begin = `BEGIN; ${localSettings({ ...timeouts(STATEMENT_MS), ...settings })}; ${first}`
    return await connectTo(hosts, label, STATEMENT_MS, { primary, begin })
  }

  await mustKeepSessions(directHosts, directUrl === url ? 'DATABASE_URL' : 'DATABASE_DIRECT_URL')
  const first = await connectTo(directHosts, 'migrations', 0, WITHOUT_TABLES)
  try {
    if (options.migrations ?? true) {
      await mustHaveRights(first)
      await mustMigrate(first, () => migrate(first.client))
    }
    if (directUrl !== url) {
      const pooled = await openPooled({ label: 'check', first: 'SELECT 1' })
      try {
        await mustBeSameDatabase(first, pooled)
        await mustHaveRights(pooled)
      } finally {
        await pooled.close()
      }
    }
  } catch (error) {
    if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error
    throw new DatabaseUnavailable('the tables are to be changed, but a long transaction holds them', { cause: error })
  } finally {
    await first.close()
  }
  const usable = new WeakSet<Client>()
  const pool = new Pool({
    ...configOf(hosts.url, 'pool', STATEMENT_MS, hosts.count),
    max: options.maxConnections ?? 6,
    Client: clientOf(hosts, usable),
    // oxlint-disable-next-line no-misused-promises -- the pool waits for it, which its types do not say
    onConnect: async (client) => {
      try {
        await primary.enter(client as Client)
        if (directUrl === url) await setTimeouts(client)
        usable.add(client as Client)
      } catch (error) {
        // the pool waits until it has ended
        cut(client as Client)
        throw error
      }
    },
  })
  const connectUnhurried = async () => (await openSession({ label: 'unhurried', statementTimeoutMs: 0 })).client
  const pooler = directUrl === url ? {} : { pooler: { settings: timeouts(STATEMENT_MS), open: openPooled } }
  return createDatabase({ kind: 'postgres', pool, log, openSession, connectUnhurried, mark: () => primary.mark, ...pooler })
}

/** Connects to the first host that can be used. Throws `DatabaseUnavailable` with what is wrong with each. */
async function connectTo(hosts: Hosts, label: string, statementTimeoutMs: number, options: ConnectOptions) {
  const faults: string[] = []
  for (;;) {
    const { url } = hosts
    try {
      return await connectSession(new Client(configOf(url, label, statementTimeoutMs, hosts.count)), options)
    } catch (error) {
      if (!(error instanceof DatabaseUnavailable) && !isConnectionFault(error)) throw error
      hosts.skip(url)
      faults.push(`${placeOf(url)}: ${toError(error).message}`)
      if (faults.length >= hosts.count) throw new DatabaseUnavailable(faults.join('; '), { cause: error })
    }
  }
}

/** Clients for a pool, which connect to whichever host is used at the time. One that ends before it was usable has the next host used. */
function clientOf(hosts: Hosts, usable: WeakSet<Client>) {
  return class extends Client {
    constructor(config?: ClientConfig) {
      const { url } = hosts
      super({ ...config, connectionString: url })
      this.once('end', () => {
        if (!usable.has(this)) hosts.skip(url)
      })
    }
  }
}

async function mustKeepSessions(hosts: Hosts, name: string): Promise<void> {
  // without settings, which would stay behind on a session that is lent to others
  const open = async () => await connectTo(hosts, 'check', STATEMENT_MS, WITHOUT_TABLES)
  const session = await open()
  try {
    if (await keepsSession(session, open)) return
  } finally {
    await session.close()
  }
  throw new CannotWork(
    `${name} leads to a pooler that lends each transaction another session: set DATABASE_DIRECT_URL to the server itself`,
  )
}

/** A connection, without server settings: poolers refuse them in the startup message. */
function configOf(url: string, label: string, statementTimeoutMs: number, hosts: number): ClientConfig {
  return {
    connectionString: url,
    application_name: `livetally ${label}`,
    connectionTimeoutMillis: hosts > 1 ? CONNECT_NEXT_MS : CONNECT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 5_000,
    // pg's own timeout is longer than the server's: it is for a server that no longer answers
    ...(statementTimeoutMs === 0 ? {} : { query_timeout: statementTimeoutMs + QUERY_MS - STATEMENT_MS }),
  }
}

function timeouts(statementTimeoutMs: number): Record<string, string> {
  return { statement_timeout: String(statementTimeoutMs), lock_timeout: String(statementTimeoutMs === 0 ? 0 : LOCK_MS) }
}

/** A statement that sets server settings for as long as the session lasts, and its values. */
function settingAll(settings: Readonly<Record<string, string>>): [Statement, unknown[]] {
  const text = 'SELECT set_config(name, value, false) FROM unnest($1::text[], $2::text[]) AS setting (name, value)'
  return [{ text }, [Object.keys(settings), Object.values(settings)]]
}

async function setTimeouts(client: ClientBase): Promise<void> {
  const [{ text }, values] = settingAll(timeouts(STATEMENT_MS))
  await client.query(text, values)
}
