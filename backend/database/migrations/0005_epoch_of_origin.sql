ALTER TABLE "livetally"."origin" ADD COLUMN "epoch" integer DEFAULT 0 NOT NULL;
--> statement-breakpoint
-- A poll begins in the epoch of its database (docs/adr/0025): one of its name may have been made in what another database has lost.
CREATE OR REPLACE FUNCTION livetally.keep_poll() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  at timestamptz := clock_timestamp();
BEGIN
  IF TG_OP = 'INSERT' THEN
    NEW.epoch := greatest(NEW.epoch, (SELECT o.epoch FROM livetally.origin o),
      (SELECT max(r.epoch) + 1 FROM livetally.removed_polls r WHERE r.slug = NEW.slug));
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
