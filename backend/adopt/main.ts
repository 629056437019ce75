/** `npm run adopt`: has a poll count a table that another program writes, or releases it. */
import { parseArgs } from 'node:util'
import { OptionId, PollSlug } from '../../shared/protocol/frames.ts'
import { loadVariables } from '../../shared/config/load.ts'
import { createLog } from '../../shared/telemetry/log.ts'
import type { Database } from '../database/database.ts'
import { connectPostgres } from '../database/postgres.ts'
import { createPollStore } from '../polls/poll-store.ts'
import { adopt, createAdopted, findSource, release, suggestOptions } from './adopt.ts'
import { databaseUrl } from '../database/hosts.ts'

const USAGE = `Usage: npm run adopt -- --table votes --option-column vote --poll cats-vs-dogs [--question TEXT] [--option a=Cats …]
       npm run adopt -- --poll cats-vs-dogs --release

Counts another program's table for a poll: what is in it, and every change from now on, whoever makes it. The poll is created if it
does not exist, with the options given or else the values found. Repeating it does no harm. The database role must own the table.`

const env = loadVariables(process, USAGE, {
  DATABASE_URL: { schema: databaseUrl, description: 'the database of both', secret: true },
  DATABASE_DIRECT_URL: {
    schema: databaseUrl,
    description: 'the same database directly, where DATABASE_URL leads to a pooler',
    secret: true,
    optional: true,
  },
})
const COMPLAINTS: Readonly<Record<string, string>> = {
  'unknown-poll': 'there is no such poll',
  'unknown-table': 'there is no such table',
  'unknown-column': 'the table has no such column',
  'not-owner': 'the table belongs to another database role',
  'has-ballots': 'the poll has ballots of its own: choose another poll, or remove them first',
  'other-source': 'the poll counts another table: release that first',
  'no-source': 'the poll counts no table',
  'no-options': 'the table has no values that could be options: give them with --option',
}
const flags = readFlags()
const log = await createLog({ service: 'adopt', level: 'silent', terminal: false })
const database = await connect()
try {
  process.exitCode = flags.release ? await runRelease(flags.slug) : await runAdopt(flags)
} catch (error) {
  fail(`${error instanceof Error ? error.message : String(error)}\n`)
} finally {
  await database.close()
}

async function runRelease(slug: string): Promise<number> {
  const { kind } = await release(database, slug)
  return kind === 'released' ? say(`${slug} is closed and counts nothing any more.`) : complain(kind)
}

async function runAdopt({ slug, table, optionColumn, question, options }: AdoptFlags): Promise<number> {
  const created = await createUnlessThere({ slug, table, optionColumn, question, options })
  // a poll that is there already, or that somebody else created meanwhile, is adopted as it is
  const outcome =
    created === undefined || created.kind === 'slug-taken' ? await adopt(database, { slug, table, optionColumn }) : created
  if (outcome.kind === 'not-adoptable') return complain(outcome.reason)
  if (outcome.kind !== 'adopted' && outcome.kind !== 'created') return complain(outcome.kind)
  const source = outcome.kind === 'adopted' ? outcome.source : outcome.poll.source
  return say(`${slug} counts ${source?.table}.${source?.optionColumn}; ${outcome.corrected} rows were not counted yet.`)
}

/** Creates the poll together with its source, unless there is a poll with this slug: then undefined. */
async function createUnlessThere({ slug, table, optionColumn, question, options }: Omit<AdoptFlags, 'release'>) {
  if ((await createPollStore(database).get(slug)) !== undefined) return undefined
  const found = await findSource(database, { table, optionColumn })
  if (found.kind !== 'found') return found
  const offered = options.length > 0 ? options : (await suggestOptions(database, found.source)).map((id) => ({ id, label: id }))
  const usable = offered.filter(({ id }) => OptionId.safeParse(id).success)
  if (usable.length === 0) return { kind: 'no-options' } as const
  return await createAdopted(database, { slug, question: question ?? slug, options: usable }, found.source)
}

interface AdoptFlags {
  readonly slug: string
  readonly table: string
  readonly optionColumn: string
  readonly question: string | undefined
  readonly options: readonly { readonly id: string; readonly label: string }[]
  readonly release: boolean
}

function readFlags(): AdoptFlags {
  try {
    const { values } = parseArgs({
      options: {
        poll: { type: 'string' },
        table: { type: 'string', default: '' },
        'option-column': { type: 'string', default: '' },
        question: { type: 'string' },
        option: { type: 'string', multiple: true, default: [] },
        release: { type: 'boolean', default: false },
      },
    })
    const slug = PollSlug.safeParse(values.poll)
    if (!slug.success) return fail(`--poll must be ${slug.error.issues[0]?.message}\n${USAGE}\n`)
    if (!values.release && (values.table === '' || values['option-column'] === '')) return fail(`${USAGE}\n`)
    const options = values.option.map((text) => {
      const [id = '', ...label] = text.split('=')
      return { id, label: label.join('=') || id }
    })
    const { table, question, release: releasing, 'option-column': optionColumn } = values
    return { slug: slug.data, table, optionColumn, question, options, release: releasing }
  } catch (error) {
    return fail(`${String(error)}\n${USAGE}\n`)
  }
}

async function connect(): Promise<Database> {
  try {
    return await connectPostgres({ url: env.DATABASE_DIRECT_URL ?? env.DATABASE_URL, log })
  } catch (error) {
    return fail(`${String(error)}\n`)
  }
}

function say(sentence: string): number {
  process.stdout.write(`${sentence}\n`)
  return 0
}

function complain(reason: string): number {
  process.stderr.write(`${COMPLAINTS[reason] ?? `not possible: ${reason}`}\n`)
  return 1
}

function fail(message: string): never {
  process.stderr.write(message)
  return process.exit(2)
}
