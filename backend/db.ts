/** The one door to Postgres: the only place that opens connections, to a server or to PGlite in its worker thread. */
import { Client, type ClientConfig, Pool } from 'pg'
import type { Log } from '../shared/telemetry/log.ts'
import type { NodePgDatabase } from './drizzle.ts'
import { migrate } from './migrate.ts'
import { type ClusterOptions, type PgliteCluster, startCluster } from './pglite-cluster.ts'
import { type PgliteWire, startPglite } from './pglite-wire.ts'
import { connectSession, createDatabase } from './pool.ts'
import type * as schema from './schema.ts'

/** SQL text; with a name it is prepared once per connection and planned once. */
export interface Statement {
  readonly name?: string
  readonly text: string
}

export interface Queryable {
  /** The rows of one statement. `bigint` and `xid8` come as text. Rejects with pg's error (`sqlState` reads its code). */
  query<Row extends object>(statement: Statement, values?: readonly unknown[]): Promise<Row[]>
}

export interface Transaction extends Queryable {
  readonly orm: NodePgDatabase<typeof schema>
}

export interface TransactionOptions {
  /** `repeatable read`: one snapshot for all its statements. */
  readonly isolation?: 'read committed' | 'repeatable read'
  /** Statements may take as long as they need. */
  readonly unhurried?: boolean
}

/** A connection of its own, outside the pool, for work that never pauses: it keeps its settings and its locks. */
export interface Session extends Queryable {
  /** Whether the connection is gone, and with it its session locks. Open another one then. */
  readonly lost: boolean
  close(): Promise<void>
}

export interface SessionOptions {
  /** Seen in pg_stat_activity. */
  readonly label: string
  /** Server settings for this connection, such as `enable_seqscan: 'off'`. PGlite, which has one session for all, ignores them. */
  readonly settings?: Readonly<Record<string, string>>
  /** How long one statement may take; 0 for as long as it needs. Default 2 500. */
  readonly statementTimeoutMs?: number
}

export interface Database extends Queryable {
  readonly kind: 'postgres' | 'pglite'
  /** Typed queries on the pool. Its own `transaction` leaks a connection when BEGIN fails: use `withTransaction`. */
  readonly orm: NodePgDatabase<typeof schema>
  /** Runs `work` between BEGIN and COMMIT; rolls back, or discards a broken connection, when it throws. */
  withTransaction<T>(work: (transaction: Transaction) => Promise<T>, options?: TransactionOptions): Promise<T>
  openSession(options: SessionOptions): Promise<Session>
  /** Ends the pool once what runs is done. Sessions are closed by who opened them. */
  close(): Promise<void>
}

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
    // the server's timeout comes first; this one is for a server that no longer answers
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
  } finally {
    await first.close()
  }
  const pool = new Pool({ ...config(STATEMENT_MS, 'pool'), max: options.maxConnections ?? 6 })
  const connectUnhurried = async () => (await openSession({ label: 'unhurried', statementTimeoutMs: 0 })).client
  return createDatabase({ kind: 'postgres', pool, log: options.log, openSession, connectUnhurried })
}

export interface PgliteOptions extends ClusterOptions {
  readonly log: Log
  /** What `startCluster` gave for the same directory, if that was begun before. */
  readonly starting?: Promise<PgliteCluster>
}

/**
 * Opens the embedded database and brings its tables up to date. Throws `DataDirectoryInUse`, or `DatabaseUnavailable`.
 * It speaks the same protocol to the same driver as a server does, but has one session: statements run one after another.
 */
export async function openPglite(options: PgliteOptions): Promise<Database> {
  const cluster = await (options.starting ?? startCluster(options))
  try {
    const pool = await connectPool(cluster.wire)
    cluster.complete()
    const database: Database = createDatabase({
      kind: 'pglite',
      pool,
      log: options.log,
      openSession: async () => ({
        lost: false,
        query: (statement, values) => database.query(statement, values),
        close: async () => {},
      }),
      afterClose: () => cluster.close(),
    })
    return database
  } catch (error) {
    await cluster.close()
    throw error
  }
}

/** A new cluster with its tables, packed (pglite-template.ts). */
export async function packCluster(): Promise<Uint8Array> {
  const wire = await startPglite({ clusterDir: undefined, template: undefined })
  const pool = await connectPool(wire)
  try {
    // nobody will create another database from these, and two thirds of the files are theirs
    await pool.query('UPDATE pg_database SET datistemplate = false')
    await pool.query('DROP DATABASE template0')
    await pool.query('DROP DATABASE template1')
    return await wire.pack()
  } finally {
    await pool.end()
    await wire.close()
  }
}

/** A pool of the one connection there is, to tables that are up to date. */
async function connectPool(wire: PgliteWire): Promise<Pool> {
  const pool = new Pool({ stream: () => wire.connect(), user: 'postgres', database: 'postgres', max: 1, idleTimeoutMillis: 0 })
  const client = await pool.connect()
  try {
    await migrate(client)
  } finally {
    client.release()
  }
  return pool
}
