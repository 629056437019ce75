-- Counting and keeping: everything here holds for whoever writes, psql and other programs included (docs/adr/0010, 0011).

ALTER TABLE livetally.ballots SET (fillfactor = 90, autovacuum_vacuum_insert_scale_factor = 0.1);
--> statement-breakpoint
-- few rows, rewritten by every batch: leave room on the page, and clean up long before a fifth of the table is dead
ALTER TABLE livetally.counters SET (
  fillfactor = 50,
  autovacuum_vacuum_threshold = 1000,
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_threshold = 5000,
  autovacuum_analyze_scale_factor = 0
);
--> statement-breakpoint
ALTER TABLE livetally.polls SET (fillfactor = 50, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0.01);
--> statement-breakpoint
ALTER TABLE livetally.polls ADD CONSTRAINT polls_options_are_a_list CHECK (jsonb_typeof(options) = 'array');
--> statement-breakpoint

-- The counter slot of this transaction, locked until its end. An upsert fires its INSERT and its UPDATE trigger one after the
-- other; two writers in one slot would lock its rows in two passes and deadlock, so a slot has one writer at a time.
-- The ballot box claims a slot for each of its connections (0..63, in livetally.slot). Everyone else takes whichever of 64..79
-- is free, and waits only if sixteen others write at this moment.
CREATE OR REPLACE FUNCTION livetally.take_slot() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  lock_class constant integer := 1282696276;
  claimed text := current_setting('livetally.slot', true);
  candidate integer;
BEGIN
  IF claimed <> '' THEN
    PERFORM pg_advisory_xact_lock(lock_class, claimed::integer);
    RETURN;
  END IF;
  FOR i IN 0..15 LOOP
    candidate := 64 + (pg_backend_pid() + i) % 16;
    EXIT WHEN pg_try_advisory_xact_lock(lock_class, candidate);
    IF i = 15 THEN
      PERFORM pg_advisory_xact_lock(lock_class, candidate);
    END IF;
  END LOOP;
  PERFORM set_config('livetally.slot', candidate::text, true);
END $$;
--> statement-breakpoint

CREATE OR REPLACE FUNCTION livetally.before_counted() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM livetally.take_slot();
  RETURN NULL;
END $$;
--> statement-breakpoint

-- Starts counting a table: the one mechanism for Livetally's ballots and for the tables of other programs.
--   tag          part of the names of what is created
--   poll         an SQL expression over a row of the table: the poll it counts for
--   choice       an SQL expression over a row: the option it counts for, as text; NULL counts for none
--   own_polls    an SQL condition on livetally.polls "p": the polls that TRUNCATE of this table empties
-- The functions run with the rights of Livetally, so that other programs need none on its tables.
CREATE OR REPLACE FUNCTION livetally.start_counting(target regclass, tag text, poll text, choice text, own_polls text)
RETURNS void LANGUAGE plpgsql AS $outer$
DECLARE
  counting text := 'count_' || tag;
  emptying text := 'empty_' || tag;
  event text;
BEGIN
  EXECUTE format($f$
    CREATE OR REPLACE FUNCTION livetally.%1$I() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    DECLARE
      own_slot smallint := current_setting('livetally.slot')::smallint;
    BEGIN
      IF TG_OP = 'INSERT' THEN
        INSERT INTO livetally.counters AS c (poll_id, option, slot, n, ver, xid, changed_at)
        SELECT %2$s, %3$s, own_slot, count(*), 1, pg_current_xact_id(), clock_timestamp()
        FROM added WHERE %3$s IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (poll_id, option, slot) DO UPDATE
        SET n = c.n + excluded.n, ver = c.ver + 1, xid = excluded.xid, changed_at = excluded.changed_at;
      ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO livetally.counters AS c (poll_id, option, slot, n, ver, xid, changed_at)
        SELECT %2$s, %3$s, own_slot, -count(*), 1, pg_current_xact_id(), clock_timestamp()
        FROM gone WHERE %3$s IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
        ON CONFLICT (poll_id, option, slot) DO UPDATE
        SET n = c.n + excluded.n, ver = c.ver + 1, xid = excluded.xid, changed_at = excluded.changed_at;
      ELSE
        INSERT INTO livetally.counters AS c (poll_id, option, slot, n, ver, xid, changed_at)
        SELECT d.poll, d.choice, own_slot, sum(d.by), 1, pg_current_xact_id(), clock_timestamp()
        FROM (
          SELECT %2$s AS poll, %3$s AS choice, 1 AS by FROM added
          UNION ALL
          SELECT %2$s, %3$s, -1 FROM gone
        ) d
        WHERE d.choice IS NOT NULL GROUP BY 1, 2 HAVING sum(d.by) <> 0 ORDER BY 1, 2
        ON CONFLICT (poll_id, option, slot) DO UPDATE
        SET n = c.n + excluded.n, ver = c.ver + 1, xid = excluded.xid, changed_at = excluded.changed_at;
      END IF;
      RETURN NULL;
    END $body$
  $f$, counting, poll, choice);

  -- TRUNCATE holds the table alone, so nobody else is about to touch the counters fed from it
  EXECUTE format($f$
    CREATE OR REPLACE FUNCTION livetally.%1$I() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
    BEGIN
      UPDATE livetally.counters c
      SET n = 0, ver = c.ver + 1, xid = pg_current_xact_id(), changed_at = clock_timestamp()
      WHERE c.n <> 0 AND c.poll_id IN (SELECT p.id FROM livetally.polls p WHERE %2$s);
      RETURN NULL;
    END $body$
  $f$, emptying, own_polls);

  FOREACH event IN ARRAY ARRAY['insert', 'update', 'delete'] LOOP
    EXECUTE format('CREATE OR REPLACE TRIGGER %I BEFORE %s ON %s FOR EACH STATEMENT EXECUTE FUNCTION livetally.before_counted()',
      'livetally_' || tag || '_before_' || event, event, target);
    EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER %s ON %s REFERENCING %s FOR EACH STATEMENT EXECUTE FUNCTION livetally.%I()',
      'livetally_' || tag || '_after_' || event, event, target,
      CASE event WHEN 'insert' THEN 'NEW TABLE AS added' WHEN 'delete' THEN 'OLD TABLE AS gone'
                 ELSE 'NEW TABLE AS added OLD TABLE AS gone' END,
      counting);
  END LOOP;
  EXECUTE format('CREATE OR REPLACE TRIGGER %I AFTER TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION livetally.%I()',
    'livetally_' || tag || '_after_truncate', target, emptying);
END $outer$;
--> statement-breakpoint

CREATE OR REPLACE FUNCTION livetally.stop_counting(target regclass, tag text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  event text;
BEGIN
  FOREACH event IN ARRAY ARRAY['before_insert', 'before_update', 'before_delete', 'after_insert', 'after_update', 'after_delete', 'after_truncate'] LOOP
    EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', 'livetally_' || tag || '_' || event, target);
  END LOOP;
  EXECUTE format('DROP FUNCTION IF EXISTS livetally.%I()', 'count_' || tag);
  EXECUTE format('DROP FUNCTION IF EXISTS livetally.%I()', 'empty_' || tag);
END $$;
--> statement-breakpoint

SELECT livetally.start_counting('livetally.ballots', 'ballots', 'poll_id', 'option', 'p.source IS NULL');
--> statement-breakpoint

-- What follows from an edit, so that `UPDATE livetally.polls SET state = 'closed'` in psql is all it takes to close a poll.
CREATE OR REPLACE FUNCTION livetally.keep_poll() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  at timestamptz := clock_timestamp();
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.epoch := greatest(NEW.epoch, (SELECT max(r.epoch) + 1 FROM livetally.removed_polls r WHERE r.slug = NEW.slug));
    IF NEW.closes_at <= at THEN
      NEW.state := 'closed';
    ELSIF NEW.state = 'open' AND NEW.opens_at > at THEN
      NEW.state := 'scheduled';
    END IF;
  ELSE
    IF NEW IS NOT DISTINCT FROM OLD THEN
      RETURN NEW;
    END IF;
    IF NEW.slug <> OLD.slug THEN
      RAISE EXCEPTION 'a poll keeps its slug: screens, links and the bus know it by that name' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.state = 'closed' AND OLD.state <> 'closed' AND (NEW.closes_at IS NULL OR NEW.closes_at > at) THEN
      NEW.closes_at := at;
    ELSIF NEW.state = 'open' AND OLD.state = 'closed' AND NEW.closes_at <= at THEN
      NEW.closes_at := NULL;
    END IF;
    IF NEW.state = 'open' AND OLD.state <> 'open' AND NEW.opens_at > at THEN
      NEW.opens_at := at;
    END IF;
    NEW.epoch := greatest(NEW.epoch, OLD.epoch);
    NEW.revision := OLD.revision + 1;
    NEW.updated_at := at;
  END IF;
  NEW.option_ids := ARRAY(
    SELECT o.value ->> 'id' FROM jsonb_array_elements(NEW.options) WITH ORDINALITY AS o(value, place) ORDER BY o.place
  );
  NEW.xid := pg_current_xact_id();
  RETURN NEW;
END $$;
--> statement-breakpoint
CREATE TRIGGER keep_poll BEFORE INSERT OR UPDATE ON livetally.polls FOR EACH ROW EXECUTE FUNCTION livetally.keep_poll();
--> statement-breakpoint

CREATE OR REPLACE FUNCTION livetally.remove_poll() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    RAISE EXCEPTION 'delete polls instead: TRUNCATE would leave their ballots and counters behind'
      USING ERRCODE = 'feature_not_supported';
  END IF;
  INSERT INTO livetally.removed_polls (poll_id, slug, epoch) VALUES (OLD.id, OLD.slug, OLD.epoch);
  DELETE FROM livetally.ballots WHERE poll_id = OLD.id;
  DELETE FROM livetally.tickets WHERE poll_id = OLD.id;
  DELETE FROM livetally.counters WHERE poll_id = OLD.id;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER remove_poll AFTER DELETE ON livetally.polls FOR EACH ROW EXECUTE FUNCTION livetally.remove_poll();
--> statement-breakpoint
CREATE TRIGGER keep_polls BEFORE TRUNCATE ON livetally.polls FOR EACH STATEMENT EXECUTE FUNCTION livetally.remove_poll();
