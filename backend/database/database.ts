/** The database as everything else sees it: statements in, rows out, on a server or on PGlite alike. */
import type { NodePgDatabase } from './drizzle.ts'
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
