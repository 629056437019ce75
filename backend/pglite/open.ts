/** Opens the embedded database: PGlite in a worker thread, behind the same driver and the same interface as a server. */
import { Pool } from 'pg'
import type { Log } from '../../shared/telemetry/log.ts'
import type { Database } from '../database/database.ts'
import { noteIdentity } from '../database/identity.ts'
import { migrate } from '../database/migrate.ts'
import { createDatabase } from '../database/pool.ts'
import { type ClusterOptions, type PgliteCluster, startCluster } from './cluster.ts'
import { type PgliteWire, startPglite } from './socket.ts'

export interface PgliteOptions extends ClusterOptions {
  readonly log: Log
  /** The result of `startCluster` for the same directory, if it was called before. */
  readonly starting?: Promise<PgliteCluster>
}

/**
 * Opens the embedded database and brings its tables up to date. Throws `DataDirectoryInUse`, or `DatabaseUnavailable`.
 * The driver speaks the same protocol to it as to a server, but it has one session: statements run one after another.
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
      openSession: async () => {
        await noteIdentity(pool)
        return {
          lost: false,
          query: (statement, values) => database.query(statement, values),
          observe: () => {},
          close: async () => {},
        }
      },
      afterClose: () => cluster.close(),
    })
    return database
  } catch (error) {
    await cluster.close()
    throw error
  }
}

/** Packs a new cluster with its tables, for template.ts to keep. */
export async function packCluster(): Promise<Uint8Array> {
  const wire = await startPglite({ clusterDir: undefined, template: undefined })
  const pool = await connectPool(wire)
  try {
    // no other database is created in the cluster, so the files of the template databases need not be packed
    await pool.query('UPDATE pg_database SET datistemplate = false')
    await pool.query('DROP DATABASE template0')
    await pool.query('DROP DATABASE template1')
    return await wire.pack()
  } finally {
    await pool.end()
    await wire.close()
  }
}

/** Makes a pool of the only connection and brings the tables up to date. */
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
