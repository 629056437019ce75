CREATE SCHEMA IF NOT EXISTS "livetally";
--> statement-breakpoint
CREATE TABLE "livetally"."ballots" (
	"poll_id" integer NOT NULL,
	"voter_id" uuid NOT NULL,
	"option" text NOT NULL,
	"cast_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "ballots_poll_id_voter_id_pk" PRIMARY KEY("poll_id","voter_id")
);
--> statement-breakpoint
CREATE TABLE "livetally"."counters" (
	"poll_id" integer NOT NULL,
	"option" text NOT NULL,
	"slot" smallint NOT NULL,
	"n" bigint NOT NULL,
	"ver" bigint NOT NULL,
	"xid" "xid8" NOT NULL,
	"changed_at" timestamp with time zone NOT NULL,
	CONSTRAINT "counters_poll_id_option_slot_pk" PRIMARY KEY("poll_id","option","slot")
);
--> statement-breakpoint
CREATE TABLE "livetally"."origin" (
	"id" integer PRIMARY KEY DEFAULT 1 NOT NULL,
	"identity" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "livetally"."polls" (
	"id" integer PRIMARY KEY GENERATED ALWAYS AS IDENTITY (sequence name "livetally"."polls_id_seq" INCREMENT BY 1 MINVALUE 1 MAXVALUE 2147483647 START WITH 1 CACHE 1),
	"slug" text NOT NULL,
	"question" text NOT NULL,
	"options" jsonb NOT NULL,
	"option_ids" text[] DEFAULT '{}' NOT NULL,
	"state" text DEFAULT 'open' NOT NULL,
	"opens_at" timestamp with time zone,
	"closes_at" timestamp with time zone,
	"change_allowed" boolean DEFAULT true NOT NULL,
	"visibility" text DEFAULT 'live' NOT NULL,
	"policy" text DEFAULT 'cookie' NOT NULL,
	"source" jsonb,
	"epoch" integer DEFAULT 1 NOT NULL,
	"revision" integer DEFAULT 1 NOT NULL,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"updated_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	"xid" "xid8" DEFAULT pg_current_xact_id() NOT NULL,
	CONSTRAINT "polls_slug_unique" UNIQUE("slug"),
	CONSTRAINT "polls_slug_is_a_name" CHECK (slug ~ '^[a-z0-9]+(-[a-z0-9]+)*$' and length(slug) <= 64),
	CONSTRAINT "polls_state_is_known" CHECK (state in ('scheduled', 'open', 'closed')),
	CONSTRAINT "polls_visibility_is_known" CHECK (visibility in ('live', 'after-vote', 'after-close')),
	CONSTRAINT "polls_policy_is_known" CHECK (policy in ('cookie', 'ticket'))
);
--> statement-breakpoint
CREATE TABLE "livetally"."removed_polls" (
	"poll_id" integer PRIMARY KEY NOT NULL,
	"slug" text NOT NULL,
	"epoch" integer NOT NULL,
	"xid" "xid8" DEFAULT pg_current_xact_id() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "livetally"."tickets" (
	"poll_id" integer NOT NULL,
	"voter_id" uuid NOT NULL,
	"created_at" timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
	CONSTRAINT "tickets_poll_id_voter_id_pk" PRIMARY KEY("poll_id","voter_id")
);
--> statement-breakpoint
CREATE INDEX "counters_xid" ON "livetally"."counters" USING btree ("xid");--> statement-breakpoint
CREATE INDEX "polls_xid" ON "livetally"."polls" USING btree ("xid");--> statement-breakpoint
CREATE INDEX "polls_to_open" ON "livetally"."polls" USING btree ("opens_at") WHERE state = 'scheduled' and opens_at is not null;--> statement-breakpoint
CREATE INDEX "polls_to_close" ON "livetally"."polls" USING btree ("closes_at") WHERE state <> 'closed' and closes_at is not null;--> statement-breakpoint
CREATE INDEX "removed_polls_xid" ON "livetally"."removed_polls" USING btree ("xid");--> statement-breakpoint
CREATE INDEX "removed_polls_slug" ON "livetally"."removed_polls" USING btree ("slug");