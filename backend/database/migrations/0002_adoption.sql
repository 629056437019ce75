-- A poll that counts another program's table leaves nothing behind on it when it is removed.
CREATE OR REPLACE FUNCTION livetally.remove_poll() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    RAISE EXCEPTION 'delete polls instead: TRUNCATE would leave their ballots and counters behind'
      USING ERRCODE = 'feature_not_supported';
  END IF;
  IF to_regclass(OLD.source ->> 'table') IS NOT NULL THEN
    PERFORM livetally.stop_counting(to_regclass(OLD.source ->> 'table'), 'poll_' || OLD.id);
  END IF;
  INSERT INTO livetally.removed_polls (poll_id, slug, epoch) VALUES (OLD.id, OLD.slug, OLD.epoch);
  DELETE FROM livetally.ballots WHERE poll_id = OLD.id;
  DELETE FROM livetally.tickets WHERE poll_id = OLD.id;
  DELETE FROM livetally.counters WHERE poll_id = OLD.id;
  RETURN NULL;
END $$;
--> statement-breakpoint

-- Counts a table for a poll from now on, and what is in it already; returns how far the counters were off. May be called again: it
-- puts back triggers that were lost and corrects what was missed meanwhile. The caller holds the table against other writers.
-- A value too long to be an option is cut, so that no value can make another program's statement fail on our index.
CREATE OR REPLACE FUNCTION livetally.adopt(target regclass, option_column text, poll integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  choice text := format('left((%I)::text, 200)', option_column);
  off bigint;
BEGIN
  PERFORM livetally.start_counting(target, 'poll_' || poll, poll::text, choice, 'p.id = ' || poll);
  PERFORM livetally.take_slot();
  EXECUTE format($f$
    WITH found AS (
      SELECT %1$s AS option, count(*) AS n FROM %2$s WHERE %1$s IS NOT NULL GROUP BY 1
    ), counted AS (
      SELECT option, sum(n) AS n FROM livetally.counters WHERE poll_id = %3$s GROUP BY option
    ), missing AS (
      SELECT option, coalesce(found.n, 0) - coalesce(counted.n, 0) AS n FROM found FULL JOIN counted USING (option)
    ), corrected AS (
      INSERT INTO livetally.counters AS c (poll_id, option, slot, n, ver, xid, changed_at)
      SELECT %3$s, option, current_setting('livetally.slot')::smallint, n, 1, pg_current_xact_id(), clock_timestamp()
      FROM missing WHERE n <> 0 ORDER BY option
      ON CONFLICT (poll_id, option, slot) DO UPDATE
      SET n = c.n + excluded.n, ver = c.ver + 1, xid = excluded.xid, changed_at = excluded.changed_at
    )
    SELECT coalesce(sum(abs(n)), 0) FROM missing
  $f$, choice, target, poll) INTO off;
  RETURN off;
END $$;
