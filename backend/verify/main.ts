/** `npm run verify`: counts the ballots again and says whether counters and screens agree with them. */
import { parseArgs } from 'node:util'
import { systemClock } from '../../shared/lifecycle/clock.ts'
import { connectRedisBus } from '../../shared/bus/redis-bus.ts'
import { text } from '../../shared/config/env.ts'
import { loadVariables } from '../../shared/config/load.ts'
import { redisVariables } from '../../shared/config/service-variables.ts'
import { createLog } from '../../shared/telemetry/log.ts'
import type { Database } from '../database/database.ts'
import { connectPostgres } from '../database/postgres.ts'
import { openPglite } from '../pglite/open.ts'
import { verifyReport } from './report.ts'
import { repair, verify } from './verify.ts'
import { databaseUrl } from '../database/hosts.ts'

const USAGE = `Usage: npm run verify -- --poll NAME [--poll NAME …] | --all  [--repair]

Counts every ballot again, in one snapshot, and compares with the counters and with what was last published.
Exits with 1 if anything differs; --repair corrects the counters first and starts a new epoch of the polls that were wrong.`

const env = loadVariables(process, USAGE, {
  DATABASE_URL: {
    schema: databaseUrl,
    description: 'the backend’s database; without it the embedded one in DATA_DIR',
    secret: true,
    optional: true,
  },
  DATABASE_DIRECT_URL: {
    schema: databaseUrl,
    description: 'the same database directly, where DATABASE_URL leads to a pooler',
    secret: true,
    optional: true,
  },
  DATA_DIR: { schema: text, fallback: './data', description: 'where the embedded database is; nobody else may have it open' },
  REDIS_URL: { ...redisVariables.REDIS_URL, description: 'without it what was published is not compared', optional: true },
  REDIS_CA: redisVariables.REDIS_CA,
  REDIS_NAMESPACE: redisVariables.REDIS_NAMESPACE,
})

const { values: flags } = readFlags()
if ((flags.poll === undefined) === !flags.all) fail(`${USAGE}\n`)

const log = await createLog({ service: 'verify', level: 'silent', terminal: false })
const database = await openDatabase()
const startedAt = performance.now()
let doing = 'connecting'
const progress = setInterval(() => {
  process.stderr.write(`${doing}: ${Math.round((performance.now() - startedAt) / 1_000)} s\n`)
}, 2_000)
try {
  const bus =
    env.REDIS_URL === undefined
      ? undefined
      : await connectRedisBus({ url: env.REDIS_URL, ca: env.REDIS_CA, namespace: env.REDIS_NAMESPACE, log, now: systemClock.now })
  const onProgress = (what: string) => (doing = what)
  const scope = {
    database,
    onProgress,
    ...(flags.poll === undefined ? {} : { slugs: flags.poll }),
    ...(bus === undefined ? {} : { bus }),
  }
  if (flags.repair) {
    const repaired = await repair(scope)
    process.stdout.write(repaired.length === 0 ? 'nothing to repair\n' : `repaired: ${repaired.join(', ')}\n`)
  }
  const verified = await verify(scope)
  await bus?.close()
  const unknown = flags.poll?.filter((slug) => !verified.some((poll) => poll.slug === slug)) ?? []
  process.stdout.write(verifyReport(verified))
  for (const slug of unknown) process.stderr.write(`there is no poll "${slug}"\n`)
  process.exitCode = unknown.length === 0 && verified.every(({ ok }) => ok) ? 0 : 1
} catch (error) {
  fail(`${String(error)}\n`)
} finally {
  clearInterval(progress)
  await database.close()
}

function readFlags() {
  try {
    return parseArgs({
      options: {
        poll: { type: 'string', multiple: true },
        all: { type: 'boolean', default: false },
        repair: { type: 'boolean' },
      },
    })
  } catch (error) {
    return fail(`${String(error)}\n${USAGE}\n`)
  }
}

async function openDatabase(): Promise<Database> {
  try {
    const address = env.DATABASE_DIRECT_URL ?? env.DATABASE_URL
    return address === undefined
      ? await openPglite({ dataDir: env.DATA_DIR, log, holder: 'npm run verify' })
      : await connectPostgres({ url: address, log, migrations: false })
  } catch (error) {
    return fail(`${String(error)}\n`)
  }
}

function fail(message: string): never {
  process.stderr.write(message)
  return process.exit(2)
}
