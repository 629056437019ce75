/** Notices that the tables are in another database than before: restored, or failed over. */
import type { Queryable } from './database.ts'

/**
 * A database that was restored from a dump or a backup, or failed over to a replica, may have lost votes that screens have
 * already seen. So every poll starts a new epoch; otherwise screens would ignore its tallies until the old version is reached again.
 * Transaction ids belong to a cluster as well: rows from another one are marked as changed now.
 *
 * The cluster, its timeline (which changes with a failover or a restore to a point in time), the database and the table itself
 * (which a dump creates anew) make up the identity.
 */
export async function noteIdentity(connection: Queryable): Promise<void> {
  await connection.query({ text: NOTE_IDENTITY })
}

const NOTE_IDENTITY = `
DO $$
DECLARE
  here text;
  before text;
BEGIN
  SELECT concat_ws(':', s.system_identifier, c.timeline_id, d.oid, 'livetally.ballots'::regclass::oid) INTO here
  FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d WHERE d.datname = current_database();
  IF here = (SELECT o.identity FROM livetally.origin o) THEN
    RETURN;
  END IF;
  INSERT INTO livetally.origin (id, identity) VALUES (1, here) ON CONFLICT (id) DO NOTHING;
  SELECT o.identity INTO before FROM livetally.origin o FOR UPDATE;
  IF before <> here THEN
    UPDATE livetally.origin SET identity = here;
    UPDATE livetally.counters SET xid = pg_current_xact_id();
    UPDATE livetally.removed_polls SET xid = pg_current_xact_id();
    UPDATE livetally.polls SET epoch = epoch + 1;
  END IF;
END $$`
