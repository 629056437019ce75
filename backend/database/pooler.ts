/** What lies between a connection and its server: nothing, or a pooler, and whether that keeps the session. */
import { CannotWork } from '../../shared/lifecycle/retry.ts'
import type { Session } from './database.ts'

const ROUNDS = 5

/**
 * Whether the session lasts as long as its connection, with its settings and locks, and is not shared with others. `openOther` opens a
 * further connection of the same kind; nothing is left behind on either.
 */
export async function keepsSession(
  session: Session & { readonly client: object },
  openOther: () => Promise<Session>,
): Promise<boolean> {
  const own = await pidOf(session)
  // a server says its process at the start; a pooler makes a number up, since who cancels a query must ask the pooler
  if ('processID' in session.client && session.client.processID === own) return true
  const other = await openOther()
  try {
    // while the other one holds a transaction, a pooler that lends sessions lends out this one's, or has to take another for this one
    for (let round = 0; round < ROUNDS; round++) {
      await other.query({ text: 'BEGIN' })
      const lent = (await pidOf(other)) === own || (await pidOf(session)) !== own
      await other.query({ text: 'ROLLBACK' })
      if (lent) return false
    }
    return true
  } catch (error) {
    throw refusesTransactions(error) ? new CannotWork(NO_TRANSACTIONS, { cause: error }) : error
  } finally {
    await other.close()
  }
}

/** Throws `CannotWork` unless both lead to the same database, and the pooler allows transactions. */
export async function mustBeSameDatabase(direct: Session, pooled: Session): Promise<void> {
  try {
    const [one, other] = [await identityOf(direct), await identityOf(pooled)]
    if (one === other) return
  } catch (error) {
    throw refusesTransactions(error) ? new CannotWork(NO_TRANSACTIONS, { cause: error }) : error
  }
  throw new CannotWork('DATABASE_URL and DATABASE_DIRECT_URL lead to different databases')
}

const NO_TRANSACTIONS = 'the pooler refuses transactions: set its pool mode to transaction or session'

/** In PgBouncer's words; it has no code of its own for them. */
function refusesTransactions(error: unknown): boolean {
  return error instanceof Error && error.message.includes('statement pooling')
}

async function pidOf(session: Session): Promise<number | undefined> {
  return (await session.query<{ pid: number }>({ text: 'SELECT pg_backend_pid() AS pid' }))[0]?.pid
}

async function identityOf(session: Session): Promise<string | undefined> {
  const [row] = await session.query<{ identity: string }>({
    text: `SELECT concat_ws(':', s.system_identifier, d.oid) AS identity
FROM pg_control_system() s, pg_database d WHERE d.datname = current_database()`,
  })
  return row?.identity
}
