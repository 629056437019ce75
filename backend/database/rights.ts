/** What the role of a connection may do with Livetally's tables. */
import type { Queryable } from './database.ts'
import { DatabaseUnavailable, sqlState } from './errors.ts'

/** Postgres, appendix A: insufficient privilege. */
const INSUFFICIENT_PRIVILEGE = '42501'

/** Resolves to the migrations' own outcome; where the role may not migrate, throws `DatabaseUnavailable` with what to do instead. */
export async function mustMigrate(connection: Queryable, migrating: () => Promise<void>): Promise<void> {
  try {
    await migrating()
  } catch (error) {
    if (sqlState(error) !== INSUFFICIENT_PRIVILEGE) throw error
    const [row] = await connection.query<{ role: string }>({ text: 'SELECT current_user AS role' })
    throw new DatabaseUnavailable(
      `the tables have to be brought up to date, which the role "${row?.role}" may not do: run backend/migrate/main.ts (npm run migrate) as the role that owns them`,
      { cause: error },
    )
  }
}

/** Throws `DatabaseUnavailable` unless the role may read and write all tables that are there. */
export async function mustHaveRights(connection: Queryable): Promise<void> {
  const [row] = await connection.query<{ role: string; lacking: string | null }>(LACKING)
  if (row?.lacking === null) return
  throw new DatabaseUnavailable(
    `the role "${row?.role}" may not read and write ${row?.lacking}: infra/postgres/roles.sql grants the rights it needs`,
  )
}

const LACKING = {
  text: `
SELECT current_user AS role, string_agg('livetally.' || c.relname, ', ' ORDER BY c.relname) AS lacking
FROM pg_class c WHERE c.relnamespace = to_regnamespace('livetally') AND c.relkind = 'r' AND NOT (
  has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AND (c.relname = 'migrations' OR
  has_table_privilege(c.oid, 'INSERT') AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')))`,
}
