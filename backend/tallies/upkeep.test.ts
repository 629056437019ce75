import assert from 'node:assert/strict'
import { test } from 'node:test'
import { onEachDatabase } from '../../e2e/support/databases-under-test.ts'
import { createUpkeep } from './upkeep.ts'

onEachDatabase('the upkeep', (use, kind) => {
  test('goes on after its connection was lost, and records once more when it ends', async () => {
    const { database, log } = use()
    const stop = new AbortController()
    let rounds = 0
    let records = 0
    let look = () => {}
    const upkeep = createUpkeep({
      database,
      advance: async (connection) => {
        rounds += 1
        look()
        if (rounds === 2 && kind === 'postgres') await connection.query({ text: 'SELECT pg_terminate_backend(pg_backend_pid())' })
        await connection.query({ text: 'SELECT 1' })
      },
      record: async (connection) => {
        records += 1
        await connection.query({ text: 'SELECT 1' })
      },
      log,
      now: () => performance.now(),
    })
    const ended = upkeep.run(stop.signal)
    while (rounds < 4) await new Promise<void>((resolve) => (look = resolve))
    const before = records
    assert.ok(upkeep.health.ok)
    stop.abort()
    await ended
    assert.equal(records, before + 1)
  })

  test('says that it fails', async () => {
    const { database, log } = use()
    const stop = new AbortController()
    const upkeep = createUpkeep({
      database,
      advance: async (connection) => void (await connection.query({ text: 'SELECT 1 / 0' })),
      record: async () => {},
      log,
      now: () => performance.now(),
    })
    const ended = upkeep.run(stop.signal)
    while (upkeep.health.error === undefined) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.match(upkeep.health.error, /division by zero/)
    stop.abort()
    await ended
  })
})
