import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { testRedis } from '../../e2e/support/test-redis.ts'
import type { Snapshot } from '../protocol/frames.ts'
import type { Log } from '../telemetry/log.ts'
import { connectRedisBus } from './redis-bus.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

const SNAPSHOT: Snapshot = {
  poll: {
    type: 'poll',
    poll: 'tea',
    question: 'Tea?',
    options: [],
    state: 'open',
    resultsVisible: true,
    opensAt: null,
    closesAt: null,
  },
  tally: { type: 'tally', poll: 'tea', epoch: 1, version: 1, counts: {}, total: 0, at: '2026-01-01T00:00:00.000Z' },
}

test('what another program writes to the channels and keys of polls is counted as garbage, or not read, and nobody hears of it', async (t) => {
  const redis = testRedis()
  let garbage = 0
  const bus = await connectRedisBus({ ...redis, log: silent, now: () => performance.now(), onGarbage: () => (garbage += 1) })
  const neighbour = new Redis(redis.url)
  t.after(async () => {
    neighbour.disconnect()
    await bus.close()
    await redis.forget()
  })
  const heard: Snapshot[] = []
  const last = Promise.withResolvers<void>()
  await bus.subscribe('tea', (snapshot) => {
    heard.push(snapshot)
    last.resolve()
  })
  const long = JSON.stringify({ ...SNAPSHOT, poll: { ...SNAPSHOT.poll, question: 'x'.repeat(65_536) } })
  const nonsense = ['', 'hello', '{', 'null', '[]', JSON.stringify({ ...SNAPSHOT, tally: {} }), long]
  for (const text of nonsense) {
    await neighbour.publish(`${redis.namespace}:news:tea`, text)
    await neighbour.hset(`${redis.namespace}:tally:coffee`, 'snapshot', text)
    assert.deepEqual((await bus.latest(['coffee'])).snapshots, new Map())
  }
  await bus.admit(SNAPSHOT)
  await last.promise
  assert.deepEqual(heard, [SNAPSHOT])
  assert.equal(garbage, nonsense.length)
})

test('a key that another program made something else of costs its poll one publication, and no other poll anything', async (t) => {
  const redis = testRedis()
  const bus = await connectRedisBus({ ...redis, log: silent, now: () => performance.now() })
  const neighbour = new Redis(redis.url)
  t.after(async () => {
    neighbour.disconnect()
    await bus.close()
    await redis.forget()
  })
  await bus.admit(SNAPSHOT)
  await neighbour.set(`${redis.namespace}:tally:coffee`, 'nonsense')
  await neighbour.set(`${redis.namespace}:gateway:odd`, '{')
  await neighbour.sadd(`${redis.namespace}:gateways`, 'odd')
  assert.deepEqual([...(await bus.latest(['tea', 'coffee'])).snapshots.keys()], ['tea'])
  assert.deepEqual([...(await bus.keep(['tea', 'coffee'])).keys()], ['tea'])
  assert.deepEqual(await bus.present(), [])
  const coffee: Snapshot = { poll: { ...SNAPSHOT.poll, poll: 'coffee' }, tally: { ...SNAPSHOT.tally, poll: 'coffee' } }
  assert.equal(await bus.admit(coffee), true)
  assert.deepEqual([...(await bus.latest(['tea', 'coffee'])).snapshots.keys()], ['tea', 'coffee'])
})
