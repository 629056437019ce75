/** Notices that the tables are in another history than before: restored, or failed over (docs/adr/0025). */
import { DatabaseUnavailable } from './errors.ts'

/** How far a history of the database was seen. A later look at the same history finds the same identity and epoch, and no lower `lsn`. */
export interface Mark {
  /** Cluster, timeline, database, and the table itself, which a dump creates anew. */
  readonly identity: string
  /** Of `livetally.origin`: rises whenever a history ends. */
  readonly epoch: number
  /** The place in the write-ahead log up to which it was flushed: what a crash cannot take back. */
  readonly lsn: string
}

interface Connection {
  query(statement: { readonly text: string; readonly values: unknown[] }): Promise<{ readonly rows: object[] }>
}

/** Others may note the same at the same time. */
const MAX_TRIES = 5

/**
 * To be called on each new connection before it is used.
 *
 * A database that was restored from a dump or a backup, or failed over to a replica, may have lost votes that screens have already seen.
 * So every poll starts a new epoch; otherwise screens would ignore its tallies until the old version is reached again, and one version would
 * have two contents. Transaction ids belong to a history as well: all rows are marked as changed now.
 *
 * A new epoch is the number of seconds since 2025 rather than the next number: of the history that ended, an unknown number of epochs may
 * be lost, and screens may have seen them.
 */
export async function noteIdentity(connection: Connection, mark?: Mark): Promise<Mark> {
  const { identity = null, epoch = -1, lsn = '0/0' } = mark ?? {}
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const { rows } = await connection.query({ text: LOOK, values: [identity, epoch, lsn] })
    const [found] = rows as Found[]
    if (found === undefined) throw new DatabaseUnavailable('the database does not say which one it is')
    if (found.before === null) await connection.query({ text: BEGIN_FIRST, values: [found.here] })
    else if (found.isAnother) {
      await connection.query({ text: BEGIN_ANOTHER, values: [found.here, found.before, found.epoch, epoch] })
    } else return { identity: found.here, epoch: found.epoch, lsn: found.lsn }
  }
  throw new DatabaseUnavailable('the database does not stay the same one')
}

interface Found {
  readonly here: string
  readonly lsn: string
  /** Null in a new database. */
  readonly before: string | null
  readonly epoch: number
  readonly isAnother: boolean
}

/**
 * The timeline changes with a failover and with a restore to a point in time. It is the one that is written now: the control file
 * names that of the last checkpoint, which is minutes behind after a promotion.
 */
const LOOK = `
SELECT here.identity AS here, here.lsn::text AS lsn, o.identity AS before, o.epoch,
  o.identity <> here.identity OR o.epoch < $2 OR (o.epoch = $2 AND (here.identity <> $1 OR here.lsn < $3::pg_lsn)) AS "isAnother"
FROM (
  SELECT concat_ws(':', s.system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer, d.oid,
    'livetally.ballots'::regclass::oid) AS identity, pg_current_wal_flush_lsn() AS lsn
  FROM pg_control_system() s, pg_database d WHERE d.datname = current_database()
) here LEFT JOIN livetally.origin o ON true`

const BEGIN_FIRST = `INSERT INTO livetally.origin (id, identity) VALUES (1, $1) ON CONFLICT (id) DO NOTHING`

/** Does nothing where somebody else has done it. The last seconds that fit are those of 2088. */
const BEGIN_ANOTHER = `
WITH origin AS (
  UPDATE livetally.origin SET identity = $1, epoch = greatest(epoch + 1, $4 + 1, least(2000000000,
    extract(epoch FROM clock_timestamp() - timestamptz '2025-01-01 00:00:00+00'))::integer)
  WHERE identity = $2 AND epoch = $3 RETURNING epoch
), polls AS (
  UPDATE livetally.polls p SET epoch = greatest(p.epoch + 1, o.epoch) FROM origin o
), counters AS (
  UPDATE livetally.counters SET xid = pg_current_xact_id() FROM origin
)
UPDATE livetally.removed_polls SET xid = pg_current_xact_id() FROM origin`
