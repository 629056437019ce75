/** The same tests on both databases. */
import { after, before, describe } from 'node:test'
import { createTestDatabase } from './test-database.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import type { Database } from '../../backend/database/database.ts'
import { connectPostgres } from '../../backend/database/postgres.ts'
import { openPglite, packCluster } from '../../backend/pglite/open.ts'
import type { Poll } from '../../backend/polls/poll.ts'
import { ensureTemplate } from '../../backend/pglite/template.ts'
import { type NewPoll, createPollStore } from '../../backend/polls/poll-store.ts'

/** Keeps what was said, for tests to look at. */
export function createTestLog(): Log & { readonly lines: string[] } {
  const lines: string[] = []
  const say = (_fields: object, message: string) => void lines.push(message)
  const log = { lines, debug: say, info: say, warn: say, error: say, child: () => log }
  return log
}

export interface DatabaseUnderTest {
  readonly database: Database
  readonly log: Log & { readonly lines: string[] }
  /** For further connections; undefined on PGlite, which has only the one. */
  readonly url: string | undefined
  /** A poll of its own for one test: "Cats or dogs?", with the options `cats` and `dogs`. */
  createPoll(fields?: Partial<NewPoll>): Promise<Poll>
}

/** Runs the tests that `body` defines on a fresh Postgres database and on a fresh PGlite. */
export function onEachDatabase(subject: string, body: (test: () => DatabaseUnderTest, kind: Database['kind']) => void): void {
  for (const kind of ['postgres', 'pglite'] as const) {
    describe(`${subject} on ${kind}`, () => {
      let current: DatabaseUnderTest | undefined
      let drop: () => Promise<void> = async () => {}
      before(async () => {
        const log = createTestLog()
        let url: string | undefined
        if (kind === 'postgres') {
          const created = await createTestDatabase()
          drop = () => created.drop()
          url = created.url
        } else {
          await ensureTemplate(packCluster)
        }
        const database = url === undefined ? await openPglite({ dataDir: undefined, log }) : await connectPostgres({ url, log })
        current = underTest(database, log, url)
      })
      after(async () => {
        await current?.database.close()
        await drop()
      })
      body(() => {
        if (current === undefined) throw new Error('the database is open only while tests run')
        return current
      }, kind)
    })
  }
}

/** What tests need of an open database. Names of polls begin with `prefix`. */
export function underTest(
  database: Database,
  log: DatabaseUnderTest['log'],
  url: string | undefined,
  prefix = 'poll',
): DatabaseUnderTest {
  return { database, log, url, createPoll: createPolls(database, prefix) }
}

function createPolls(database: Database, prefix: string): DatabaseUnderTest['createPoll'] {
  let polls = 0
  return async (fields = {}) => {
    const outcome = await createPollStore(database).create({
      slug: `${prefix}-${++polls}`,
      question: 'Cats or dogs?',
      options: [
        { id: 'cats', label: 'Cats' },
        { id: 'dogs', label: 'Dogs' },
      ],
      ...fields,
    })
    if (outcome.kind !== 'created') throw new Error(`no poll was created: ${outcome.kind}`)
    return outcome.poll
  }
}
