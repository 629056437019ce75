import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { onEachDatabase } from './databases-under-test.ts'
import type { Database, Queryable } from './db.ts'

const sql = (text: string) => ({ text })

async function countsOf(database: Queryable, pollId: number): Promise<Record<string, number>> {
  const rows = await database.query<{ option: string; n: string }>(
    sql('SELECT option, sum(n) AS n FROM livetally.counters WHERE poll_id = $1 GROUP BY option HAVING sum(n) <> 0'),
    [pollId],
  )
  return Object.fromEntries(rows.map(({ option, n }) => [option, Number(n)]))
}

async function versionOf(database: Queryable, pollId: number): Promise<number> {
  const [row] = await database.query<{ ver: string }>(
    sql('SELECT coalesce(sum(ver), 0) AS ver FROM livetally.counters WHERE poll_id = $1'),
    [pollId],
  )
  return Number(row?.ver)
}

const insert = async (database: Queryable, pollId: number, option: string, voter: string = randomUUID()) => {
  await database.query(sql('INSERT INTO livetally.ballots (poll_id, voter_id, option) VALUES ($1, $2, $3)'), [
    pollId,
    voter,
    option,
  ])
  return voter
}

onEachDatabase('counting', (use, kind) => {
  test('follows inserts, updates, deletes and upserts by whoever writes', async () => {
    const { database, createPoll } = use()
    const { id } = await createPoll()
    const voter = await insert(database, id, 'cats')
    await insert(database, id, 'cats')
    assert.deepEqual(await countsOf(database, id), { cats: 2 })
    await database.query(sql("UPDATE livetally.ballots SET option = 'dogs' WHERE voter_id = $1"), [voter])
    assert.deepEqual(await countsOf(database, id), { cats: 1, dogs: 1 })
    await database.query(
      sql(`INSERT INTO livetally.ballots (poll_id, voter_id, option) VALUES ($1, $2, 'cats'), ($1, gen_random_uuid(), 'dogs')
        ON CONFLICT (poll_id, voter_id) DO UPDATE SET option = excluded.option`),
      [id, voter],
    )
    assert.deepEqual(await countsOf(database, id), { cats: 2, dogs: 1 })
    await database.query(sql("DELETE FROM livetally.ballots WHERE poll_id = $1 AND option = 'cats'"), [id])
    assert.deepEqual(await countsOf(database, id), { dogs: 1 })
  })

  test('raises the version with every change, and only then', async () => {
    const { database, createPoll } = use()
    const { id } = await createPoll()
    const voter = await insert(database, id, 'cats')
    const before = await versionOf(database, id)
    await database.query(sql('UPDATE livetally.ballots SET cast_at = now() WHERE voter_id = $1'), [voter])
    assert.equal(await versionOf(database, id), before)
    await database.query(sql("UPDATE livetally.ballots SET option = 'dogs' WHERE voter_id = $1"), [voter])
    assert.ok((await versionOf(database, id)) > before)
  })

  test('is undone with its transaction, whole or to a savepoint', async () => {
    const { database, createPoll } = use()
    const { id } = await createPoll()
    await assert.rejects(
      database.withTransaction(async (transaction) => {
        await insert(transaction, id, 'cats')
        throw new Error('changed my mind')
      }),
      /changed my mind/,
    )
    assert.deepEqual(await countsOf(database, id), {})
    await database.withTransaction(async (transaction) => {
      await insert(transaction, id, 'dogs')
      await transaction.query(sql('SAVEPOINT here'))
      await insert(transaction, id, 'cats')
      await transaction.query(sql('ROLLBACK TO here'))
      await insert(transaction, id, 'dogs')
    })
    await database.withTransaction(async (transaction) => {
      await transaction.query(sql('SAVEPOINT first'))
      await insert(transaction, id, 'cats')
      await transaction.query(sql('ROLLBACK TO first'))
      await insert(transaction, id, 'cats')
    })
    assert.deepEqual(await countsOf(database, id), { cats: 1, dogs: 2 })
  })

  test('counts nothing after TRUNCATE, as a new version', async () => {
    const { database, createPoll } = use()
    const { id } = await createPoll()
    await insert(database, id, 'cats')
    const before = await versionOf(database, id)
    await database.query(sql('TRUNCATE livetally.ballots'))
    assert.deepEqual(await countsOf(database, id), {})
    assert.ok((await versionOf(database, id)) > before)
    await insert(database, id, 'dogs')
    assert.deepEqual(await countsOf(database, id), { dogs: 1 })
  })

  test('moves a ballot that changes its poll', async () => {
    const { database, createPoll } = use()
    const [from, to] = [await createPoll(), await createPoll()]
    const voter = await insert(database, from.id, 'cats')
    await database.query(sql('UPDATE livetally.ballots SET poll_id = $1 WHERE voter_id = $2'), [to.id, voter])
    assert.deepEqual([await countsOf(database, from.id), await countsOf(database, to.id)], [{}, { cats: 1 }])
  })

  test('keeps the slot it took for the whole transaction, and no longer', async () => {
    const { database, createPoll } = use()
    const { id } = await createPoll()
    const slot = async (connection: Queryable) =>
      (await connection.query<{ slot: string }>(sql("SELECT current_setting('livetally.slot', true) AS slot")))[0]?.slot
    await database.withTransaction(async (transaction) => {
      await insert(transaction, id, 'cats')
      const taken = await slot(transaction)
      assert.ok(Number(taken) >= 64 && Number(taken) < 80, `slot ${taken}`)
      await insert(transaction, id, 'cats')
      assert.equal(await slot(transaction), taken)
    })
    assert.ok(!(await slot(database)))
  })

  if (kind === 'postgres') {
    test('lets 32 strangers upsert the same voters at once, without a deadlock and without drift', async () => {
      const { database, createPoll } = use()
      const { id } = await createPoll()
      const voters = Array.from({ length: 60 }, () => randomUUID()).toSorted()
      const stranger = async (own: Database, n: number) => {
        const session = await own.openSession({ label: 'stranger' })
        try {
          for (let round = 0; round < 25; round++) {
            await session.query(
              sql(`INSERT INTO livetally.ballots (poll_id, voter_id, option)
                SELECT $1::integer, v, CASE WHEN random() < 0.5 THEN 'cats' ELSE 'dogs' END FROM unnest($2::uuid[]) v ORDER BY v
                ON CONFLICT (poll_id, voter_id) DO UPDATE SET option = excluded.option`),
              [id, voters.filter((_, i) => (i + n + round) % 3 > 0)],
            )
          }
        } finally {
          await session.close()
        }
      }
      await Promise.all(Array.from({ length: 32 }, (_, n) => stranger(database, n)))
      const recount = await database.query<{ option: string; n: string }>(
        sql('SELECT option, count(*) AS n FROM livetally.ballots WHERE poll_id = $1 GROUP BY option'),
        [id],
      )
      assert.deepEqual(await countsOf(database, id), Object.fromEntries(recount.map(({ option, n }) => [option, Number(n)])))
      const [stat] = await database.query<{ deadlocks: string }>(
        sql('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()'),
      )
      assert.equal(stat?.deadlocks, '0')
    })

    test('counts what a role without any right on Livetally writes into a table it may write', async () => {
      const { database, createPoll } = use()
      const { id } = await createPoll()
      await database.withTransaction(async (transaction) => {
        await transaction.query(sql('CREATE ROLE livetally_stranger'))
        await transaction.query(sql('GRANT USAGE ON SCHEMA livetally TO livetally_stranger'))
        await transaction.query(sql('GRANT INSERT ON livetally.ballots TO livetally_stranger'))
        await transaction.query(sql('SET LOCAL ROLE livetally_stranger'))
        await insert(transaction, id, 'dogs')
        await transaction.query(sql('RESET ROLE'))
        assert.deepEqual(await countsOf(transaction, id), { dogs: 1 })
        await transaction.query(sql('DROP OWNED BY livetally_stranger'))
        await transaction.query(sql('DROP ROLE livetally_stranger'))
      })
    })
  }
})
