/** The interface of the database, which a Postgres server and PGlite have in common. */
import type { NodePgDatabase } from './drizzle.ts'
import type { Mark } from './identity.ts'
import type * as schema from './schema.ts'

/** SQL text; with a name it is prepared once per connection and planned once. */
export interface Statement {
  readonly name?: string
  readonly text: string
}

export interface Queryable {
  /** Runs one statement. `bigint` and `xid8` are text in its rows. Rejects with pg's error (`sqlState` reads its code). */
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

/** A connection outside the pool, which keeps its settings and its locks: for work that never pauses. */
export interface Session extends Queryable {
  /** Whether the connection is gone, and its session locks with it: another session has to be opened then. */
  readonly lost: boolean
  /** To be told what a read saw of its server. Throws `DatabaseUnavailable` once that takes no writes: another one is to be looked for. */
  observe(seen: Observation): void
  close(): Promise<void>
}

/** What a read sees of the server, beside the rows. */
export interface Observation {
  /** How far the write-ahead log was flushed, as text. */
  readonly lsn: string
  readonly isReadOnly: boolean
}

export interface SessionOptions {
  /** The application name in pg_stat_activity. */
  readonly label: string
  /** Server settings for this connection, such as `enable_seqscan: 'off'`. PGlite, which has one session for all, ignores them. */
  readonly settings?: Readonly<Record<string, string>>
  /** How long one statement may take; 0 for as long as it needs. Default 2 500. */
  readonly statementTimeoutMs?: number
}

/** What precedes each query on a connection to a pooler, in the query's own transaction. */
export interface PooledOptions extends Omit<SessionOptions, 'statementTimeoutMs'> {
  /** A statement without parameters; its rows are dropped. */
  readonly first: string
}

export interface Database extends Queryable {
  readonly kind: 'postgres' | 'pglite'
  /** Typed queries on the pool. Its own `transaction` leaks a connection when BEGIN fails: use `withTransaction`. */
  readonly orm: NodePgDatabase<typeof schema>
  /** Runs `work` between BEGIN and COMMIT; rolls back, or discards a broken connection, when it throws. */
  withTransaction<T>(work: (transaction: Transaction) => Promise<T>, options?: TransactionOptions): Promise<T>
  openSession(options: SessionOptions): Promise<Session>
  /**
   * Opens a connection on which each query is a transaction of its own. Present where `query` and `withTransaction` go through a pooler,
   * which keeps neither settings nor locks beyond a transaction; `openSession` does not go through it.
   */
  openPooled?(options: PooledOptions): Promise<Session>
  /** How far the database was seen, for whoever opens it after this process; undefined on PGlite. */
  readonly mark: Mark | undefined
  /** Ends the pool once running statements are done, or after a second. Whoever opened a session closes it. */
  close(): Promise<void>
}
