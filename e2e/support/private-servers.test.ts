import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { Client } from 'pg'
import { startPostgres } from './postgres-service.ts'
import { startRedis } from './redis-service.ts'

test('a private Postgres keeps what it committed over a crash, at the same port', async () => {
  await using postgres = await startPostgres({ settings: { max_connections: '7' } })
  await query(postgres.url, 'CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)')
  await postgres.crash()
  assert.equal(await accepts(postgres.port), false)
  await postgres.start()
  assert.deepEqual(await query(postgres.url, 'SELECT n FROM kept'), [{ n: 1 }])
  await postgres.shutDown()
  await postgres.start()
  assert.deepEqual(await query(postgres.url, 'SHOW max_connections'), [{ max_connections: '7' }])
  assert.deepEqual(await query(postgres.url, 'SHOW fsync'), [{ fsync: 'on' }])
})

test('a private Redis hangs, dies and comes back empty, at the same port', async () => {
  await using redis = await startRedis()
  await withRedis(redis.url, (client) => client.set('a', '1'))
  await redis.pause()
  await assert.rejects(
    withRedis(redis.url, (client) => client.get('a')),
    /timed? ?out/i,
  )
  await redis.resume()
  assert.equal(await withRedis(redis.url, (client) => client.get('a')), '1')
  await redis.kill()
  assert.equal(await accepts(redis.port), false)
  await redis.start()
  assert.equal(await withRedis(redis.url, (client) => client.get('a')), null)
})

test('a server that cannot start says what it printed', async () => {
  await using redis = await startRedis()
  await assert.rejects(startRedis({ port: redis.port }), /Address already in use/)
})

async function query(connectionString: string, sql: string): Promise<unknown[]> {
  const client = new Client({ connectionString })
  await client.connect()
  try {
    return (await client.query(sql)).rows as unknown[]
  } finally {
    await client.end()
  }
}

async function withRedis<T>(url: string, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url, {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    commandTimeout: 300,
    connectTimeout: 300,
  })
  client.on('error', () => {})
  try {
    return await use(client)
  } finally {
    client.disconnect()
  }
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}
