/** Opens a Postgres server: its connections, their timeouts, and its tables brought up to date. */
import { Client, type ClientConfig, Pool } from 'pg'
import type { Log } from '../../shared/telemetry/log.ts'
import type { Database, SessionOptions } from './database.ts'
import { DatabaseUnavailable, sqlState } from './errors.ts'
import { migrate } from './migrate.ts'
import { connectSession, createDatabase } from './pool.ts'

export interface PostgresOptions {
  /** postgres://user:password@host:port/database */
  readonly url: string
  readonly log: Log
  /** Connections for HTTP requests, beside the sessions of the ballot box and the poller. Default 6. */
  readonly maxConnections?: number
  /** Whether to bring the tables up to date first. Default true. */
  readonly migrations?: boolean
}

const CONNECT_MS = 2_000
const QUERY_MS = 3_000
const STATEMENT_MS = 2_500
const LOCK_MS = 1_000
/** Postgres, appendix A. */
const LOCK_NOT_AVAILABLE = '55P03'

/**
 * Reaches the server, brings its tables up to date and opens the pool.
 * Throws `DatabaseUnavailable` when the server cannot be reached or used; trying again may help.
 */
export async function connectPostgres(options: PostgresOptions): Promise<Database> {
  const config = (statementTimeoutMs: number, label: string, settings: Readonly<Record<string, string>> = {}): ClientConfig => ({
    connectionString: options.url,
    application_name: `livetally ${label}`,
    connectionTimeoutMillis: CONNECT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 5_000,
    statement_timeout: statementTimeoutMs,
    lock_timeout: statementTimeoutMs === 0 ? 0 : LOCK_MS,
    // pg's own timeout is longer than the server's: it is for a server that no longer answers
    ...(statementTimeoutMs === 0 ? {} : { query_timeout: statementTimeoutMs + QUERY_MS - STATEMENT_MS }),
    ...(Object.keys(settings).length === 0
      ? {}
      : {
          options: Object.entries(settings)
            .map(([name, value]) => `-c ${name}=${value}`)
            .join(' '),
        }),
  })
  const openSession = async ({ label, settings, statementTimeoutMs }: SessionOptions) =>
    await connectSession(new Client(config(statementTimeoutMs ?? STATEMENT_MS, label, settings)))

  const first = await openSession({ label: 'migrations', statementTimeoutMs: 0 })
  try {
    if (options.migrations ?? true) await migrate(first.client)
  } catch (error) {
    if (sqlState(error) !== LOCK_NOT_AVAILABLE) throw error
    throw new DatabaseUnavailable('the tables are to be changed, but a long transaction holds them', { cause: error })
  } finally {
    await first.close()
  }
  const pool = new Pool({ ...config(STATEMENT_MS, 'pool'), max: options.maxConnections ?? 6 })
  const connectUnhurried = async () => (await openSession({ label: 'unhurried', statementTimeoutMs: 0 })).client
  return createDatabase({ kind: 'postgres', pool, log: options.log, openSession, connectUnhurried })
}
