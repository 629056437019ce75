/** Livetally behind PgBouncer: what works in which mode, and what is refused at the start. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { connectPostgres } from '../../backend/database/postgres.ts'
import { createBallotBox } from '../../backend/ballots/ballot-box.ts'
import type { Database } from '../../backend/database/database.ts'
import { CannotWork } from '../../shared/lifecycle/retry.ts'
import { startChild } from '../support/child.ts'
import { ADMIN_TOKEN, COOKIE_SECRET, createVoter, startCluster } from '../support/cluster.ts'
import { mustCountHistories } from '../support/counting-histories.ts'
import { createTestLog, underTest } from '../support/databases-under-test.ts'
import { openFaultyLink } from '../support/faulty-link.ts'
import { startPgbouncer, type PgbouncerService } from '../support/pgbouncer-service.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'
import { watch } from '../support/watcher.ts'

const log = createTestLog()
const sql = (text: string) => ({ text })
const timeoutsOf = async (database: Database) =>
  await database.query(sql("SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock"))

describe('a database behind PgBouncer', () => {
  let direct: TestDatabase
  const poolers = new Map<string, PgbouncerService>()
  const urlOf = (mode: string) => poolers.get(mode)?.url ?? ''
  before(async () => {
    direct = await createTestDatabase()
    for (const mode of ['session', 'transaction', 'statement'] as const) {
      poolers.set(mode, await startPgbouncer({ url: direct.url, mode }))
    }
  })
  after(async () => {
    await Promise.all([...poolers.values()].map((pooler) => pooler.stop()))
    await direct.drop()
  })

  test('in session mode is used like any other, with its timeouts', async () => {
    const database = await connectPostgres({ url: urlOf('session'), log })
    assert.deepEqual(await timeoutsOf(database), [{ statement: '2500ms', lock: '1s' }])
    const session = await database.openSession({ label: 'kept', settings: { enable_seqscan: 'off' }, statementTimeoutMs: 0 })
    assert.deepEqual(await session.query(sql('SHOW enable_seqscan')), [{ enable_seqscan: 'off' }])
    assert.deepEqual(await session.query(sql('SHOW statement_timeout')), [{ statement_timeout: '0' }])
    await session.close()
    await database.close()
  })

  for (const mode of ['session', 'transaction'] as const) {
    test(`in ${mode} mode keeps the timeouts for each transaction, and leaves nothing on the sessions it is lent`, async () => {
      const database = await connectPostgres({ url: urlOf(mode), directUrl: direct.url, log })
      assert.deepEqual(await timeoutsOf(database), [{ statement: '2500ms', lock: '1s' }])
      await assert.rejects(database.query(sql('SELECT pg_sleep(10)')), /statement timeout/)
      assert.equal(await database.withTransaction(async (transaction) => (await transaction.query(sql('SELECT 1'))).length), 1)
      // many at once and one after the other: prepared statements would be missed, and names met twice
      const named = { name: 'again', text: 'SELECT $1::integer AS n' }
      for (let round = 0; round < 3; round++) {
        const all = await Promise.all(Array.from({ length: 30 }, (_, n) => database.query<{ n: number }>(named, [n])))
        assert.deepEqual(
          all.flat(),
          Array.from({ length: 30 }, (_, n) => ({ n })),
        )
      }
      await database.close()
      const other = await connectPostgres({ url: direct.url, log })
      const left = sql(
        "SELECT count(*) AS n FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
      )
      assert.deepEqual(await other.query(left), [{ n: '0' }])
      await other.close()
    })
  }

  for (const [name, mode, isBeside] of [
    ['in session mode', 'session', false],
    ['in session mode, with a direct URL', 'session', true],
    ['in transaction mode', 'transaction', true],
  ] as const) {
    test(`${name} counts as a recount does, after every step of every history`, async () => {
      const database = await connectPostgres({ url: urlOf(mode), directUrl: isBeside ? direct.url : undefined, log })
      await mustCountHistories(underTest(database, log, direct.url, `${mode}-${isBeside}`), 12)
      await database.close()
    })
  }

  test('in transaction mode lets replicas write side by side, and beside one that has its sessions, without a deadlock', async () => {
    const opened = [
      { url: urlOf('transaction'), directUrl: direct.url },
      { url: urlOf('transaction'), directUrl: direct.url },
      { url: direct.url },
    ]
    const databases = await Promise.all(opened.map((urls) => connectPostgres({ ...urls, log })))
    const said = createTestLog()
    const boxes = databases.map((database) => createBallotBox({ database, log: said, now: () => performance.now() }))
    const [database] = databases as [Database]
    const { id, slug } = await underTest(database, log, direct.url, 'crowded').createPoll()
    const voters = Array.from({ length: 300 }, () => randomUUID())
    let order = 0
    for (let round = 0; round < 10; round++) {
      // everybody votes everywhere, so that all write the same rows at once
      const votes = boxes.flatMap((box) =>
        voters.map((voter) => box.cast({ slug, voter, option: round % 2 === 0 ? 'cats' : 'dogs', order: ++order })),
      )
      assert.deepEqual(
        new Set((await Promise.all(votes)).map(({ kind }) => kind).filter((kind) => kind !== 'superseded')),
        new Set(['accepted']),
      )
    }
    await Promise.all(boxes.map((box) => box.drain()))
    const slots = sql('SELECT slot, n FROM livetally.counters WHERE poll_id = $1')
    const counters = await database.query<{ slot: number; n: string }>(slots, [id])
    assert.equal(
      counters.reduce((sum, { n }) => sum + Number(n), 0),
      voters.length,
    )
    assert.deepEqual(
      counters.filter(({ slot }) => slot >= 64),
      [],
      'each had a slot of its own',
    )
    assert.deepEqual(said.lines, [], 'no batch had to be tried again')
    await Promise.all(databases.map((each) => each.close()))
  })

  test('serves a whole installation in transaction mode; a backend with the pooler alone does not start, and says why', async () => {
    await using cluster = await startCluster({ backends: 0, gateways: 0 })
    await using pooler = await startPgbouncer({ url: cluster.databaseUrl, mode: 'transaction' })
    const urls = { DATABASE_URL: pooler.url, DATABASE_DIRECT_URL: cluster.databaseUrl }
    await Promise.all([cluster.startBackend(urls), cluster.startBackend(urls)])
    const { url } = await cluster.startGateway()
    const options = ['cats', 'dogs'].map((id) => ({ id, label: id }))
    for (const poll of ['kept', 'removed']) {
      assert.equal((await cluster.admin('POST', '/api/polls', { poll, question: 'Which?', options })).status, 201)
    }
    const screen = await watch(url, ['kept'])
    const shows = async (total: number) =>
      await screen.until((frame) => frame.type === 'tally' && frame.total === total && frame.counts?.['cats'] === total)
    const voters = await Promise.all(Array.from({ length: 40 }, () => createVoter(url, 'kept')))
    for (const option of ['dogs', 'cats']) {
      const answers = await Promise.all(voters.map((voter) => voter.vote(url, option)))
      assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
    }
    await shows(40)
    assert.equal((await cluster.admin('POST', '/api/polls/kept/reset', {})).status, 200)
    await shows(0)
    await voters[0]?.vote(url, 'cats')
    await shows(1)
    assert.equal((await cluster.admin('DELETE', '/api/polls/removed', undefined)).status, 204)
    screen.close()
    const { redis } = cluster
    const env = { ...urls, REDIS_URL: redis.url, REDIS_NAMESPACE: redis.namespace }
    await using verify = startChild({ entry: 'backend/verify/main.ts', args: ['--all'], env })
    assert.equal((await verify.exited).code, 0, verify.stderr)

    const alone = { PORT: '0', METRICS_PORT: '0', ADMIN_TOKEN, COOKIE_SECRET, REDIS_URL: redis.url, DATABASE_URL: pooler.url }
    await using refused = startChild({ entry: 'backend/main.ts', env: alone })
    assert.equal((await refused.exited).code, 1)
    assert.ok(refused.logs.some(({ msg }) => msg?.startsWith('cannot start: DATABASE_URL leads to a pooler')))
  })

  test('with a pooler before each server goes by way of the other one, when the server behind the one in use is gone', async () => {
    const link = await openFaultyLink(Number(new URL(direct.url).port))
    const behindLink = new URL(direct.url)
    behindLink.port = String(link.port)
    await using first = await startPgbouncer({ url: behindLink.href, mode: 'transaction' })
    const [one, other] = [new URL(first.url), new URL(urlOf('transaction'))]
    const url = first.url.replace(one.host, `${one.host},${other.host}`)
    const database = await connectPostgres({ url, directUrl: direct.url, log })
    await Promise.all(Array.from({ length: 20 }, () => database.query(sql('SELECT pg_sleep(0.02)'))))
    await link[Symbol.asyncDispose]()
    const startedAt = performance.now()
    const isAnswered = async () =>
      await database.query(sql('SELECT 1')).then(
        () => true,
        () => false,
      )
    // the connections that there are fail first
    while (!(await isAnswered())) assert.ok(performance.now() - startedAt < 10_000, 'no query is answered')
    assert.deepEqual(new Set(await Promise.all(Array.from({ length: 20 }, isAnswered))), new Set([true]))
    await database.close()
  })

  test('is refused at the start, in a sentence, where it cannot work', async () => {
    await using elsewhere = await createTestDatabase()
    const refused = [
      [{ url: urlOf('transaction') }, /^DATABASE_URL leads to a pooler .* set DATABASE_DIRECT_URL to the server itself$/],
      [{ url: urlOf('session'), directUrl: urlOf('transaction') }, /^DATABASE_DIRECT_URL leads to a pooler/],
      [{ url: urlOf('statement'), directUrl: direct.url }, /^the pooler refuses transactions/],
      [{ url: urlOf('statement') }, /^the pooler refuses transactions/],
      [
        { url: urlOf('transaction'), directUrl: elsewhere.url },
        /^DATABASE_URL and DATABASE_DIRECT_URL lead to different databases$/,
      ],
    ] as const
    for (const [urls, sentence] of refused) {
      await assert.rejects(connectPostgres({ ...urls, log }), (error) => {
        assert.ok(error instanceof CannotWork, String(error))
        assert.match(error.message, sentence)
        return true
      })
    }
  })
})
