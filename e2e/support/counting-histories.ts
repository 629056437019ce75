/** Random histories of everything that changes counters. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Client } from 'pg'
import { copyIn } from './copy-in.ts'
import type { TallyFrame } from '../../shared/protocol/frames.ts'
import { createStamps } from '../../shared/protocol/vote-order.ts'
import { type BallotBox, createBallotBox } from '../../backend/ballots/ballot-box.ts'
import type { DatabaseUnderTest } from './databases-under-test.ts'
import { sqlState } from '../../backend/database/errors.ts'
import type { Queryable } from '../../backend/database/database.ts'
import { type PollStore, createPollStore } from '../../backend/polls/poll-store.ts'
import { createTallyReader } from '../../backend/tallies/tally-reader.ts'
import { repair } from '../../backend/verify/verify.ts'

const stamp = createStamps(Date.now)
const sql = (text: string) => ({ text })

/** Few voters and options, so that writers meet. */
const VOTERS = Array.from({ length: 12 }, (_, i) => `00000000-0000-7000-8000-0000000000${String(i).padStart(2, '0')}`)
const option = fc.constantFrom('cats', 'dogs', 'fish')
const voters = fc.uniqueArray(fc.constantFrom(...VOTERS), { minLength: 1, maxLength: 5 })

/** A statement that another program may run inside its transaction. */
const writing = fc.oneof(
  fc.record({ kind: fc.constant('insert'), voters, option }),
  fc.record({ kind: fc.constant('upsert'), voters, option }),
  fc.record({ kind: fc.constant('update'), voters, option }),
  fc.record({ kind: fc.constant('delete'), voters }),
  fc.record({ kind: fc.constant('copy'), voters, option }),
  fc.record({ kind: fc.constant('savepoint'), back: fc.boolean() }),
  fc.record({ kind: fc.constant('truncate') }),
)
const script = fc.record({
  kind: fc.constant('script'),
  connection: fc.nat({ max: 3 }),
  poll: fc.nat({ max: 1 }),
  steps: fc.array(writing, { minLength: 1, maxLength: 5 }),
  end: fc.constantFrom('COMMIT', 'COMMIT', 'ROLLBACK'),
})
const anyStep = fc.oneof(
  { arbitrary: script, weight: 4 },
  { arbitrary: fc.record({ kind: fc.constant('cast'), poll: fc.nat({ max: 1 }), voters, option }), weight: 4 },
  {
    arbitrary: fc.record({ kind: fc.constant('edit'), poll: fc.nat({ max: 1 }), state: fc.constantFrom('open', 'closed') }),
    weight: 1,
  },
  {
    arbitrary: fc.record({ kind: fc.constantFrom('truncate', 'repair', 'reset', 'falsify'), poll: fc.nat({ max: 1 }) }),
    weight: 1,
  },
)
type Writing = typeof writing extends fc.Arbitrary<infer T> ? T : never
type Step = typeof anyStep extends fc.Arbitrary<infer T> ? T : never

interface Scene extends DatabaseUnderTest {
  readonly polls: readonly { readonly id: number; readonly slug: string }[]
  readonly store: PollStore
  readonly box: BallotBox
  /** The connections of other programs; none on PGlite, which no other program can reach. */
  readonly others: readonly Client[]
  /** The work of each connection, which does one step after the other. */
  readonly doing: Promise<void>[]
}

async function write(connection: Queryable, client: Client | undefined, pollId: number, step: Writing): Promise<void> {
  const values = [pollId, ...('voters' in step ? [step.voters] : []), ...('option' in step ? [step.option] : [])]
  switch (step.kind) {
    case 'copy':
      if (client === undefined) return
      await copyIn(
        client,
        'COPY livetally.ballots (poll_id, voter_id, option) FROM STDIN',
        step.voters.map((voter) => `${pollId}\t${voter.replace(/^0/, '1')}\t${step.option}`),
      )
      break
    case 'savepoint':
      await connection.query(sql('SAVEPOINT here'))
      await connection.query(
        sql("INSERT INTO livetally.ballots SELECT $1, gen_random_uuid(), 'cats', now() FROM generate_series(1, 3)"),
        [pollId],
      )
      if (step.back) await connection.query(sql('ROLLBACK TO here'))
      break
    case 'insert':
    case 'upsert':
    case 'update':
    case 'delete':
    case 'truncate':
      await connection.query(sql(STATEMENTS[step.kind]), step.kind === 'truncate' ? [] : values)
  }
}

const STATEMENTS = {
  insert: 'INSERT INTO livetally.ballots SELECT $1, v, $3, now() FROM unnest($2::uuid[]) v ORDER BY v ON CONFLICT DO NOTHING',
  upsert: `INSERT INTO livetally.ballots SELECT $1, v, $3, now() FROM unnest($2::uuid[]) v ORDER BY v
    ON CONFLICT (poll_id, voter_id) DO UPDATE SET option = excluded.option`,
  update: 'UPDATE livetally.ballots SET option = $3 WHERE poll_id = $1 AND voter_id = ANY ($2)',
  delete: 'DELETE FROM livetally.ballots WHERE poll_id = $1 AND voter_id = ANY ($2)',
  truncate: 'TRUNCATE livetally.ballots',
}

/** Starts the step; resolves when it is done, or after a moment in which another connection's lock holds it up. */
async function take(scene: Scene, step: Step): Promise<void> {
  const poll = scene.polls['poll' in step ? step.poll : 0]
  if (poll === undefined) return
  const { database, store, box } = scene
  switch (step.kind) {
    case 'script': {
      const client = scene.others[step.connection]
      if (client === undefined) {
        const undone = new Error('undone')
        const done = database.withTransaction(async (transaction) => {
          for (const each of step.steps) await write(transaction, undefined, poll.id, each)
          if (step.end === 'ROLLBACK') throw undone
        })
        await done.catch((error: unknown) => assert.equal(error, undone))
        return
      }
      const own: Queryable = {
        query: async (statement, values) => (await client.query(statement.text, [...(values ?? [])])).rows as never,
      }
      const before = scene.doing[step.connection]
      const work = (async () => {
        await before
        await client.query('BEGIN')
        try {
          for (const each of step.steps) await write(own, client, poll.id, each)
          await client.query(step.end)
        } catch {
          // a duplicate in COPY, a deadlock between two scripts or a lock timeout undoes the whole transaction
          await client.query('ROLLBACK')
        }
      })()
      scene.doing[step.connection] = work
      await Promise.race([work, new Promise((resolve) => setTimeout(resolve, 3))])
      return
    }
    case 'cast': {
      const casting = Promise.all(
        step.voters.map((voter) => box.cast({ slug: poll.slug, voter, option: step.option, order: stamp() })),
      )
      await Promise.race([casting, new Promise((resolve) => setTimeout(resolve, 3))])
      scene.doing.push(settled(casting))
      return
    }
    case 'edit':
      scene.doing.push(refusable(store.edit(poll.slug, { state: step.state === 'open' ? 'open' : 'closed' })))
      return
    case 'truncate':
      // TRUNCATE waits for every transaction that has written, and fails at the lock timeout
      scene.doing.push(refusable(database.query(sql('TRUNCATE livetally.ballots'))))
      return
    case 'reset':
      scene.doing.push(refusable(store.reset(poll.slug)))
      return
    case 'falsify':
      await Promise.all(scene.doing)
      await database.query(sql('UPDATE livetally.counters SET n = n + 3 WHERE poll_id = $1'), [poll.id])
      await repair({ database })
      return
    case 'repair':
      scene.doing.push(settled(repair({ database })))
  }
}

async function settled(work: Promise<unknown>): Promise<void> {
  await work
}

/** Work that may fail because another connection holds a lock for too long. */
async function refusable(work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => assert.match(sqlState(error) ?? '', /^(55P03|40P01|57014)$/))
}

async function mustAgree({ database, polls }: Scene): Promise<void> {
  const drift = await database.query(
    sql(`SELECT poll_id, option, sum(b) AS ballots, sum(c) AS counted FROM (
      SELECT poll_id, option, 1 AS b, 0 AS c FROM livetally.ballots WHERE poll_id = ANY ($1)
      UNION ALL SELECT poll_id, option, 0, n FROM livetally.counters WHERE poll_id = ANY ($1)) t
      GROUP BY poll_id, option HAVING sum(b) <> sum(c)`),
    [polls.map(({ id }) => id)],
  )
  assert.deepEqual(drift, [])
}

/**
 * Runs histories of votes, of other programs' transactions, of edits and of repairs at the same time, and throws unless the counters equal a
 * recount after every step, and what the poller read does as well. Where the database is a server, other programs write at `url`.
 */
export async function mustCountHistories(under: DatabaseUnderTest, numRuns: number): Promise<void> {
  const { database, log, url, createPoll } = under
  const others: Client[] = []
  for (let i = 0; url !== undefined && i < 4; i++) {
    const client = new Client({ connectionString: url, lock_timeout: 300, application_name: 'another program' })
    await client.connect()
    others.push(client)
  }
  const box = createBallotBox({ database, log, now: Date.now })
  const tallies = createTallyReader(database)
  const seen = new Map<string, TallyFrame>()
  let polls: Scene['polls'] = []

  const read = async () => {
    for (const { tally } of await tallies.readChanges()) {
      const before = seen.get(tally.poll)
      if (before !== undefined) {
        const later = tally.epoch > before.epoch || (tally.epoch === before.epoch && tally.version > before.version)
        assert.ok(later, `${tally.poll}: ${before.epoch}.${before.version}, then ${tally.epoch}.${tally.version}`)
      }
      seen.set(tally.poll, tally)
    }
  }

  try {
    await fc.assert(
      fc
        .asyncProperty(fc.array(anyStep, { minLength: 1, maxLength: 25 }), async (steps) => {
          const scene: Scene = {
            ...under,
            polls,
            store: createPollStore(database),
            box,
            others,
            doing: others.map(async () => {}),
          }
          for (const each of steps) {
            await take(scene, each)
            await mustAgree(scene)
            await read()
          }
          await Promise.all(scene.doing)
          await mustAgree(scene)
          await read()
          for (const { slug } of polls) {
            const fresh = await tallies.read(slug)
            assert.deepEqual(seen.get(slug), fresh?.tally)
            assert.deepEqual(
              tallies.known().find(({ poll }) => poll.poll === slug),
              fresh,
            )
          }
        })
        .beforeEach(async () => {
          const options = ['cats', 'dogs', 'fish'].map((id) => ({ id, label: id }))
          polls = [await createPoll({ options }), await createPoll({ options, changeAllowed: false })]
        }),
      { numRuns },
    )
  } finally {
    await box.drain()
    await tallies.close()
    await Promise.all(others.map((client) => client.end()))
  }
}
