import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { onEachDatabase } from '../../e2e/support/databases-under-test.ts'
import { readHistory } from './history.ts'
import { createPollStore } from '../polls/poll-store.ts'
import { createTallyReader } from './tally-reader.ts'

const sql = (text: string) => ({ text })

onEachDatabase('history', (use) => {
  test('notes what changed, once a second however many replicas do, and nothing else', async () => {
    const { database, createPoll } = use()
    const { id, slug } = await createPoll()
    const replicas = [createTallyReader(database), createTallyReader(database)]
    for (const store of replicas) await store.readChanges()
    const record = async () => {
      for (const store of replicas) {
        await store.readChanges()
        await store.recordHistory()
      }
    }
    await record()
    assert.deepEqual(await readHistory(database, slug, 1), [])
    for (const option of ['cats', 'dogs', 'dogs']) {
      await database.query(sql('INSERT INTO livetally.ballots VALUES ($1, $2, $3)'), [id, randomUUID(), option])
      await record()
    }
    const points = (await readHistory(database, slug, 1)) ?? []
    assert.ok(points.length >= 1 && points.length <= 3)
    const last = points.at(-1)
    assert.deepEqual([last?.counts, last?.total, last?.epoch], [{ cats: 1, dogs: 2 }, 3, 1])
    assert.equal(last?.version, (await replicas[0]?.read(slug))?.tally.version)
    for (const store of replicas) await store.close()
  })

  test('gives the last counts of each step, oldest first, hidden counts left out', async () => {
    const { database, createPoll } = use()
    const { id, slug } = await createPoll()
    await database.query(
      sql(`INSERT INTO livetally.history (poll_id, at, epoch, version, counts)
        SELECT $1, '2026-11-22T20:00:00Z'::timestamptz + make_interval(secs => s), 1, s + 1, jsonb_build_object('cats', s, 'gone', 1)
        FROM generate_series(0, 29) s`),
      [id],
    )
    const points = await readHistory(database, slug, 10)
    assert.deepEqual(points, [
      { at: '2026-11-22T20:00:00.000Z', epoch: 1, version: 10, counts: { cats: 9, dogs: 0 }, total: 9 },
      { at: '2026-11-22T20:00:10.000Z', epoch: 1, version: 20, counts: { cats: 19, dogs: 0 }, total: 19 },
      { at: '2026-11-22T20:00:20.000Z', epoch: 1, version: 30, counts: { cats: 29, dogs: 0 }, total: 29 },
    ])
    await createPollStore(database).edit(slug, { visibility: 'after-close' })
    const [hidden] = (await readHistory(database, slug, 60)) ?? []
    assert.deepEqual(hidden, { at: '2026-11-22T20:00:00.000Z', epoch: 1, version: 30, total: 29 })
    await createPollStore(database).remove(slug)
    assert.equal(await readHistory(database, slug, 1), undefined)
    assert.deepEqual(await database.query(sql('SELECT FROM livetally.history WHERE poll_id = $1'), [id]), [])
  })
})
