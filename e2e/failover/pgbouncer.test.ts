/** Livetally behind PgBouncer: what works in which mode, and what is refused at the start. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { connectPostgres } from '../../backend/database/postgres.ts'
import type { Database } from '../../backend/database/database.ts'
import { CannotWork } from '../../shared/lifecycle/retry.ts'
import { createTestLog } from '../support/databases-under-test.ts'
import { startPgbouncer, type PgbouncerService } from '../support/pgbouncer-service.ts'
import { createTestDatabase, type TestDatabase } from '../support/test-database.ts'

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
