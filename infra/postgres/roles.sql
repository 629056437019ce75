-- Two roles for Livetally: livetally_owner brings the tables up to date and owns them, livetally_app runs the backends and may only read
-- and write rows. Run it as a superuser in Livetally's database, before the first start or at any later time; it may be repeated:
--
--   psql "postgres://postgres@db/livetally" --single-transaction --file infra/postgres/roles.sql
--   psql "postgres://postgres@db/livetally" --command '\password livetally_owner' --command '\password livetally_app'
--
-- Where tables exist, put the role that owns them in place of livetally_owner. docs/operating.md tells the rest.

DO $$ BEGIN
  CREATE ROLE livetally_owner LOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;

DO $$ BEGIN
  CREATE ROLE livetally_app LOGIN;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$;

-- migrations create the schema where it is missing, and Postgres asks for this right even where it is there
DO $$ BEGIN
  EXECUTE format('GRANT CREATE ON DATABASE %I TO livetally_owner', current_database());
END $$;

CREATE SCHEMA IF NOT EXISTS livetally AUTHORIZATION livetally_owner;
GRANT USAGE ON SCHEMA livetally TO livetally_app;

-- of the tables that are there, and of those that later versions bring
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA livetally TO livetally_app;
ALTER DEFAULT PRIVILEGES FOR ROLE livetally_owner IN SCHEMA livetally
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO livetally_app;
