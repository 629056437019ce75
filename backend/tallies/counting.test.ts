import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { onEachDatabase } from '../../e2e/support/databases-under-test.ts'
import type { Queryable, Session } from '../database/database.ts'

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
    let version = before
    for (const option of ['dogs', 'cats', 'dogs']) {
      await database.query(sql('UPDATE livetally.ballots SET option = $2 WHERE voter_id = $1'), [voter, option])
      const next = await versionOf(database, id)
      assert.ok(next > version)
      version = next
    }
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
    /** Resolves when the work is done or its session waits for a lock. */
    const doneOrWaiting = async (pid: number | undefined, work: Promise<unknown>) => {
      let done = false
      const settled = work.then(() => (done = true))
      const waits = async () =>
        (await use().database.query(sql("SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'"), [pid]))
          .length > 0
      while (!done && !(await waits())) await Promise.race([settled, new Promise((resolve) => setTimeout(resolve, 5))])
      return done ? 'done' : 'waiting'
    }
    const pidOf = async (session: Session) =>
      (await session.query<{ pid: number }>(sql('SELECT pg_backend_pid() AS pid')))[0]?.pid

    test('makes the second writer of a slot wait at its first statement, where the two would deadlock later', async () => {
      const { database, createPoll } = use()
      const { id } = await createPoll()
      const [first, second] = [await database.openSession({ label: 'first' }), await database.openSession({ label: 'second' })]
      for (const session of [first, second]) {
        await session.query(sql("SET livetally.slot = '70'"))
        await session.query(sql('BEGIN'))
      }
      await insert(first, id, 'cats')
      const pid = await pidOf(second)
      const waiting = insert(second, id, 'dogs')
      assert.equal(await doneOrWaiting(pid, waiting), 'waiting')
      await insert(first, id, 'dogs')
      await first.query(sql('COMMIT'))
      await waiting
      await insert(second, id, 'cats')
      await second.query(sql('COMMIT'))
      assert.deepEqual(await countsOf(database, id), { cats: 2, dogs: 2 })
      await Promise.all([first.close(), second.close()])
    })

    test('gives sixteen strangers a slot each, and lets the seventeenth wait for one', async () => {
      const { database, createPoll } = use()
      const { id } = await createPoll()
      const sessions = await Promise.all(Array.from({ length: 17 }, () => database.openSession({ label: 'stranger' })))
      const last = sessions.pop()
      assert.ok(last !== undefined)
      const slots = new Set<string>()
      for (const session of sessions) {
        await session.query(sql('BEGIN'))
        await insert(session, id, 'cats')
        const [row] = await session.query<{ slot: string }>(sql("SELECT current_setting('livetally.slot') AS slot"))
        slots.add(row?.slot ?? '')
      }
      assert.equal(slots.size, 16)
      const pid = await pidOf(last)
      const waiting = insert(last, id, 'dogs')
      assert.equal(await doneOrWaiting(pid, waiting), 'waiting')
      for (const session of sessions) await session.query(sql('COMMIT'))
      await waiting
      assert.deepEqual(await countsOf(database, id), { cats: 16, dogs: 1 })
      await Promise.all([last, ...sessions].map(async (session) => await session.close()))
    })

    test('lets 40 strangers upsert at once, without a deadlock and without drift', async () => {
      const { database, createPoll } = use()
      const { id } = await createPoll()
      const stranger = async () => {
        const session = await database.openSession({ label: 'stranger' })
        try {
          // new ballots for some options and changed ones for others, so that the INSERT and the UPDATE trigger lock other counters
          for (let round = 0; round < 40; round++) {
            await session.query(
              sql(`WITH own AS (SELECT voter_id FROM livetally.ballots WHERE poll_id = $1 ORDER BY random() LIMIT 3)
                INSERT INTO livetally.ballots (poll_id, voter_id, option)
                SELECT $1::integer, coalesce((SELECT voter_id FROM own OFFSET i LIMIT 1), gen_random_uuid()), 'option ' || (random() * 5)::integer
                FROM generate_series(0, 5) i ORDER BY 2
                ON CONFLICT (poll_id, voter_id) DO UPDATE SET option = excluded.option`),
              [id],
            )
          }
        } finally {
          await session.close()
        }
      }
      await Promise.all(Array.from({ length: 40 }, stranger))
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
