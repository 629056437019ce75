import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { Client } from 'pg'
import { createTestDatabase } from './test-database.ts'
import { testRedis } from './test-redis.ts'

test('each test database is its own, and gone once dropped, whoever is connected', async () => {
  await using one = await createTestDatabase()
  await using other = await createTestDatabase()
  assert.notEqual(one.url, other.url)
  const client = new Client({ connectionString: one.url })
  client.on('error', () => {}) // cut by the drop
  await client.connect()
  await client.query('CREATE TABLE t (n int)')
  await one.drop()
  await assert.rejects(new Client({ connectionString: one.url }).connect(), /does not exist/)
})

test('a namespace is forgotten without touching another', async () => {
  await using mine = testRedis()
  await using other = testRedis()
  const redis = new Redis(mine.url)
  try {
    await redis.mset(`${mine.namespace}:a`, '1', `${other.namespace}:a`, '2')
    await mine.forget()
    assert.deepEqual(await redis.mget(`${mine.namespace}:a`, `${other.namespace}:a`), [null, '2'])
  } finally {
    redis.disconnect()
  }
})

for (const [name, use] of [
  ['TEST_DATABASE_URL', createTestDatabase],
  ['TEST_REDIS_URL', testRedis],
] as const) {
  test(`without ${name} a test is told to run through npm test`, async (t) => {
    const url = process.env[name]
    t.after(() => (process.env[name] = url))
    delete process.env[name]
    await assert.rejects(async () => use(), /run this test through npm test/)
  })
}
