/** `npm run migrate`: brings the tables up to date, where the backends' own role may not. */
import { loadVariables } from '../../shared/config/load.ts'
import { createLog } from '../../shared/telemetry/log.ts'
import { databaseUrl } from '../database/hosts.ts'
import { connectPostgres } from '../database/postgres.ts'

const USAGE = `Usage: npm run migrate

Brings the tables up to date and ends. The backends do so themselves, unless their role may not: then it is run with the role that owns
the tables, before the backends of a new version or beside them. Repeating it does no harm.`

const env = loadVariables(process, USAGE, {
  DATABASE_URL: {
    schema: databaseUrl,
    description: 'the database, directly, and the role that owns the tables',
    secret: true,
  },
})

const log = await createLog({ service: 'migrate', level: 'silent', terminal: false })
try {
  const database = await connectPostgres({ url: env.DATABASE_URL, log })
  await database.close()
  process.stdout.write('the tables are up to date\n')
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exitCode = 1
}
