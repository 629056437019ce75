/** Makes a Database of a pg pool: discards broken connections, and ends transactions in every case, which pg leaves to its users. */
import type { Client, Pool, PoolClient, QueryConfig, QueryResultRow } from 'pg'
import { within } from '../../shared/lifecycle/within.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import type { Database, PooledOptions, Session, SessionOptions, Statement, Transaction } from './database.ts'
import { DatabaseUnavailable, isAnswerLost, isConnectionFault } from './errors.ts'
import { drizzle } from './drizzle.ts'
import { cut, type Primary } from './primary.ts'
import type { Mark } from './identity.ts'
import * as schema from './schema.ts'

type Connection = Client | PoolClient

/** The most requests that wait for a connection, on top of how long each may wait. */
const MAX_WAITING = 2_000

export interface PoolOptions {
  readonly kind: Database['kind']
  readonly pool: Pool
  readonly log: Log
  openSession(options: SessionOptions): Promise<Session>
  /** As in {@link Database}; absent on PGlite. */
  readonly mark?: () => Mark | undefined
  /** Where the pool leads to a pooler, which gives each transaction another session. */
  readonly pooler?: {
    /** Server settings for each transaction. */
    readonly settings: Readonly<Record<string, string>>
    open(options: PooledOptions): Promise<Session>
  }
  /** Opens a connection without timeouts; absent on PGlite, whose only connection has none. */
  connectUnhurried?(): Promise<Client>
  /** Runs after the pool has ended. */
  afterClose?(): Promise<void>
}

/** How long closing waits for a server that does not answer, in ms. */
const CLOSE_MS = 1_000

export function createDatabase(options: PoolOptions): Database {
  const { pool, log, pooler } = options
  pool.on('error', (error) => log.warn({ reason: error.message }, 'an idle database connection was lost'))
  // the pool emits no 'error' for clients that are checked out; without a listener of their own their loss would end the process
  pool.on('connect', (client) => client.on('error', () => {}))

  const connect = async () => {
    if (pool.waitingCount >= MAX_WAITING) throw new DatabaseUnavailable(`${MAX_WAITING} requests wait for a connection already`)
    return await pool.connect()
  }

  const withClient = async <T>(work: (client: PoolClient) => Promise<T>): Promise<T> => {
    const client = await connect()
    let broken: Error | undefined
    try {
      return await work(client)
    } catch (error) {
      if (isConnectionFault(error)) broken = toError(error)
      throw error
    } finally {
      client.release(broken)
    }
  }

  /** Runs the work between BEGIN and COMMIT on a connection of the pool. */
  const onPool = async <T>(isolation: string, work: (client: PoolClient) => Promise<T>): Promise<T> => {
    const client = await connect()
    let usable = false
    try {
      const begin = pooler === undefined ? isolation : `${isolation}; ${localSettings(pooler.settings)}`
      return await inTransaction(
        client,
        begin,
        () => work(client),
        () => (usable = true),
      )
    } finally {
      client.release(usable ? undefined : true)
    }
  }
  const toTransaction = (client: Connection, isPooled: boolean): Transaction => ({
    query: (statement, values) => rowsOf(client, isPooled ? { text: statement.text } : statement, values),
    orm: drizzle(client, { schema }),
  })
  const plain = 'BEGIN ISOLATION LEVEL READ COMMITTED'

  return {
    kind: options.kind,
    orm: drizzle(
      pooler === undefined ? pool : queryOnly((query, values) => onPool(plain, (client) => client.query(query, values))),
      {
        schema,
      },
    ),
    query: (statement, values) =>
      pooler === undefined
        ? withClient(async (client) => await rowsOf(client, statement, values))
        : onPool(plain, async (client) => await rowsOf(client, { text: statement.text }, values)),
    withTransaction: async (work, { isolation = 'read committed', unhurried = false } = {}) => {
      const begin = `BEGIN ISOLATION LEVEL ${isolation}`
      if (!unhurried || options.connectUnhurried === undefined) {
        return await onPool(begin, (client) => work(toTransaction(client, pooler !== undefined)))
      }
      const client = await options.connectUnhurried()
      try {
        return await inTransaction(client, begin, () => work(toTransaction(client, false)))
      } finally {
        await client.end()
      }
    },
    openSession: (session) => options.openSession(session),
    get mark() {
      return options.mark?.()
    },
    ...(pooler === undefined ? {} : { openPooled: (session) => pooler.open(session) }),
    close: async () => {
      await within(CLOSE_MS, 'Postgres has not taken leave', pool.end()).catch((error: unknown) => {
        log.debug({ err: error }, 'the database connections are left open')
      })
      await options.afterClose?.()
    },
  }
}

/** Makes the ORM of a function that runs its queries. */
function queryOnly(query: (query: QueryConfig, values: unknown[]) => Promise<unknown>): Pool {
  // outside its own `transaction`, which nobody here uses, Drizzle calls nothing else of a pool
  return { query } as unknown as Pool
}

/** Statements that set server settings until the transaction ends. The names and values are ours. */
export function localSettings(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `SET LOCAL ${name} = '${value}'`)
    .join('; ')
}

/** Runs BEGIN, the work and COMMIT, or else ROLLBACK. Calls `ended` once the server has confirmed that the transaction ended. */
async function inTransaction<T>(
  client: Connection,
  begin: string,
  work: () => Promise<T>,
  ended: () => void = () => {},
): Promise<T> {
  try {
    await client.query(begin)
    const result = await work()
    const { command } = await client.query('COMMIT')
    ended()
    // when a statement failed and `work` caught the error, the server answers COMMIT with ROLLBACK and no error
    if (command !== 'COMMIT') throw new Error('the transaction had failed and was rolled back')
    return result
  } catch (error) {
    // a client that stopped waiting for an answer would take it for the answer to ROLLBACK
    if (!isAnswerLost(error)) await client.query('ROLLBACK').then(ended, () => {})
    throw error
  }
}

export interface ConnectOptions {
  /** Looks at the server before the session is used, and while it is read. */
  readonly primary: Omit<Primary, 'mark'>
  /** Each query is a transaction of its own, which begins so and has no prepared statement. */
  readonly begin?: string
}

/** Connects the client and makes a session of it. Throws `DatabaseUnavailable`. */
export async function connectSession(
  client: Client,
  { primary, begin }: ConnectOptions,
): Promise<Session & { readonly client: Client }> {
  let lost = false
  client.on('error', () => (lost = true))
  client.on('end', () => (lost = true))
  try {
    await client.connect()
  } catch (error) {
    throw new DatabaseUnavailable(`cannot connect to Postgres: ${toError(error).message}`, { cause: error })
  }
  try {
    await primary.enter(client)
  } catch (error) {
    cut(client)
    throw error
  }
  return {
    client,
    observe: (seen) => primary.observe(client, seen),
    get lost() {
      return lost || primary.isLeft(client)
    },
    query: async (statement, values) => {
      if (begin === undefined) {
        try {
          return await rowsOf(client, statement, values)
        } catch (error) {
          if (isConnectionFault(error)) lost = true
          throw error
        }
      }
      let usable = false
      const work = () => rowsOf<never>(client, { text: statement.text }, values)
      try {
        return await inTransaction(client, begin, work, () => (usable = true))
      } finally {
        if (!usable) lost = true
      }
    },
    close: async () => {
      // a connection whose query is still running would keep `end` waiting for its answer
      if (lost) cut(client)
      // neither would one whose server does not answer
      await within(CLOSE_MS, 'Postgres has not taken leave', client.end()).catch(() => cut(client))
    },
  }
}

async function rowsOf<Row extends object>(
  client: Connection,
  statement: Statement,
  values: readonly unknown[] = [],
): Promise<Row[]> {
  const { rows } = await client.query<Row & QueryResultRow>({ ...statement, values: [...values] })
  return rows
}

export function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error))
}
