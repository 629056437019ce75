CREATE TABLE "livetally"."history" (
	"poll_id" integer NOT NULL,
	"at" timestamp with time zone NOT NULL,
	"epoch" integer NOT NULL,
	"version" bigint NOT NULL,
	"counts" jsonb NOT NULL,
	CONSTRAINT "history_poll_id_at_pk" PRIMARY KEY("poll_id","at")
);
--> statement-breakpoint
CREATE OR REPLACE FUNCTION livetally.forget_history() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM livetally.history WHERE poll_id = OLD.id;
  RETURN NULL;
END $$;
--> statement-breakpoint
CREATE TRIGGER forget_history AFTER DELETE ON livetally.polls FOR EACH ROW EXECUTE FUNCTION livetally.forget_history();
