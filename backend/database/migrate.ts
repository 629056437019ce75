/** Brings the tables up to date. */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Client, PoolClient } from 'pg'
import { drizzle, migrate as applyMigrations } from './drizzle.ts'

/** Any number that nothing else in the database locks. */
const MIGRATION_LOCK = 7_106_118_321

/** How long to wait for another replica that migrates, in ms. */
const TURN_MS = 5_000
/**
 * How long a migration waits for a table, in ms. Votes queue behind it meanwhile, so it is better to fail and try again than to wait
 * for a long reader, such as a dump.
 */
const TABLE_MS = 500

const FOLDER = fileURLToPath(new URL('./migrations', import.meta.url))

/**
 * Applies the missing migrations, on one connection and under a lock, so that any number of replicas may start at once: the first
 * one migrates, the others wait and find nothing to do. Drizzle takes no lock, and its migrations fail when they run at once. Needs no right
 * but to read where none is missing. Rejects when a lock is not to be had; trying again helps once whoever has it is done.
 */
export async function migrate(client: Client | PoolClient): Promise<void> {
  if (await isUpToDate(client)) return
  await client.query(`SET lock_timeout = ${TURN_MS}`)
  await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK])
  try {
    await client.query(`SET lock_timeout = ${TABLE_MS}`)
    await applyMigrations(drizzle(client), {
      migrationsFolder: FOLDER,
      migrationsSchema: 'livetally',
      migrationsTable: 'migrations',
    })
  } finally {
    await client.query('SELECT pg_advisory_unlock($1)', [MIGRATION_LOCK])
  }
}

/** Whether the tables are those of this version or of a later one, which the version before can use too. */
async function isUpToDate(client: Client | PoolClient): Promise<boolean> {
  const there = await client.query<{ is: boolean }>("SELECT to_regclass('livetally.migrations') IS NOT NULL AS is")
  if (there.rows[0]?.is !== true) return false
  const last = await client.query<{ at: string | null }>('SELECT max(created_at) AS at FROM livetally.migrations')
  const journal: { entries: { when: number }[] } = JSON.parse(readFileSync(`${FOLDER}/meta/_journal.json`, 'utf8'))
  return Number(last.rows[0]?.at) >= (journal.entries.at(-1)?.when ?? 0)
}
