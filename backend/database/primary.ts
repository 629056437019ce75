/** Keeps all connections with the primary, the server that takes writes, and notices when that is another one (docs/adr/0025). */
import type { Client } from 'pg'
import type { Log } from '../../shared/telemetry/log.ts'
import type { Observation } from './database.ts'
import { DatabaseUnavailable, READ_ONLY } from './errors.ts'
import { noteIdentity, type Mark } from './identity.ts'
import { isLater } from './mark.ts'

export interface Primary {
  /**
   * To be called on each new connection before it is used. Rejects with `DatabaseUnavailable` where the server takes no writes. Begins new
   * epochs where the database is another one than before, and leaves the server of that one.
   */
  enter(client: Client): Promise<void>
  /** Whether the server of a connection is the primary no longer: what is under way may end, and nothing is begun. */
  isLeft(client: Client): boolean
  /** To be told what was read on a connection that has entered. Throws `DatabaseUnavailable` once its server takes no writes. */
  observe(client: Client, seen: Observation): void
  /** How far the database was seen. */
  readonly mark: Mark | undefined
}

/** `after`: how far the database was seen before, by this process or another one. */
export function createPrimary({ log, after }: { readonly log: Log; readonly after?: Mark | undefined }): Primary {
  let latest = after
  /** The open connections to the primary, and what was noted of each. */
  let entered = new Map<Client, Mark>()
  const left = new WeakSet<Client>()

  const see = (mark: Mark) => {
    if (isLater(mark, latest)) latest = mark
  }
  const leave = (reason: string) => {
    if (entered.size === 0) return
    log.warn({ reason, connections: entered.size }, 'a database server is left, and the primary looked for')
    const clients = [...entered.keys()]
    entered = new Map()
    for (const client of clients) left.add(client)
    // what has just been sent still gets its answer: a refusal is worth more than none
    setTimeout(() => clients.forEach(cut), ANSWER_MS).unref()
  }

  return {
    async enter(client) {
      await mustTakeWrites(client)
      const mark = await noteIdentity(client, latest)
      if (latest !== undefined && (latest.identity !== mark.identity || latest.epoch !== mark.epoch))
        leave('another one takes the writes')
      see(mark)
      entered.set(client, mark)
      client.once('end', () => entered.delete(client))
      client.connection.on('errorMessage', ({ code }: { readonly code?: string }) => {
        if (code === READ_ONLY && entered.has(client)) leave(TAKES_NO_WRITES)
      })
    },
    isLeft: (client) => left.has(client),
    observe(client, { lsn, isReadOnly }) {
      const mark = entered.get(client)
      if (isReadOnly) {
        if (mark !== undefined) leave(TAKES_NO_WRITES)
        throw new DatabaseUnavailable(TAKES_NO_WRITES)
      }
      if (mark !== undefined) see({ ...mark, lsn })
    },
    get mark() {
      return latest
    },
  }
}

/** How long a connection stays open after its server was left, in ms. */
const ANSWER_MS = 1_000
const TAKES_NO_WRITES = 'the server is read-only'

/** Rejects with `DatabaseUnavailable` unless the server takes writes. */
async function mustTakeWrites(client: Client): Promise<void> {
  const { rows } = await client.query<{ standby: boolean; read_only: boolean }>(
    `SELECT pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS read_only`,
  )
  if (rows[0]?.standby !== false) throw new DatabaseUnavailable('the server is a standby')
  if (rows[0].read_only) throw new DatabaseUnavailable(TAKES_NO_WRITES)
}

/** Closes a connection at once, whatever it is doing. */
export function cut(client: Client): void {
  client.connection.stream.destroy()
}

/** For connections that are used before the tables are there: looks only at the server. */
export const WITHOUT_TABLES: { readonly primary: Omit<Primary, 'mark'> } = {
  primary: { enter: mustTakeWrites, isLeft: () => false, observe: () => {} },
}
