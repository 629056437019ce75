import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Redis } from 'ioredis'
import { testRedis } from '../../e2e/support/test-redis.ts'
import { connectVoteList, type TakenEntry, type VoteList } from './vote-list.ts'

const entry = (voter: string, more: object = {}) => JSON.stringify({ voter_id: voter, vote: 'a', ...more })
const textsOf = (entries: readonly TakenEntry[]) => entries.map(({ text }) => text)
const votersOf = (entries: readonly string[]) => entries.map((text) => (JSON.parse(text) as { voter_id: string }).voter_id)

const scene = (t: { after(work: () => Promise<void>): void }) => {
  const server = testRedis()
  const redis = new Redis(server.url, { maxRetriesPerRequest: 1 })
  const opened: VoteList[] = []
  t.after(async () => {
    await Promise.all(opened.map((votes) => votes.close()))
    redis.disconnect()
    await server.forget()
  })
  const list = `${server.namespace}-votes`
  const key = (name: string) => `${server.namespace}:ingest:${list}:${name}`
  return {
    redis,
    list,
    key,
    connect: async () => {
      const votes = await connectVoteList({ url: server.url, namespace: server.namespace, list })
      opened.push(votes)
      return votes
    },
    inList: () => redis.lrange(list, 0, -1),
    /** Makes every consumer look dead, as one does ten seconds after a crash. */
    forgetConsumers: async () => {
      for (const alive of await redis.keys(key('taken:*:alive'))) await redis.del(alive)
    },
    /** What a version without orders does before it takes. */
    recoverAsOlder: async () => {
      for (const own of await redis.smembers(key('consumers'))) {
        if ((await redis.exists(`${own}:alive`)) === 1) continue
        while ((await redis.lmove(own, list, 'RIGHT', 'LEFT')) !== null);
        await redis.srem(key('consumers'), own)
      }
    },
  }
}

describe('a list of votes, beside a version without orders', () => {
  test('keeps from it what a consumer held that died', async (t) => {
    const { redis, list, connect, inList, forgetConsumers, recoverAsOlder } = scene(t)
    await redis.rpush(list, entry('one'), entry('two'))
    const dead = await connect()
    const taken = await dead.take(10)
    await forgetConsumers()
    await recoverAsOlder()
    assert.deepEqual(await inList(), [])
    const heir = await connect()
    assert.deepEqual(await heir.take(10), taken)
  })

  test('puts everything that was taken back to the front when the last consumer leaves, so that any version can read it', async (t) => {
    const { redis, list, key, connect, inList } = scene(t)
    await redis.rpush(list, entry('one'), entry('two'), 'no vote', entry('three'), entry('four'))
    const [first, last] = [await connect(), await connect()]
    const taken = [...(await first.take(1)), ...(await last.take(2)), ...(await first.take(2)).slice(1)]
    await first.close()
    assert.deepEqual(votersOf(await inList()), ['four'])
    await last.close()
    const [one, two, odd, ...others] = await inList()
    assert.deepEqual(votersOf([one ?? '', two ?? '', ...others]), ['one', 'two', 'three', 'four'])
    assert.equal(odd, 'no vote')
    assert.deepEqual(await redis.exists(key('recovered'), key('consumers-2')), 0)

    const next = await connect()
    const again = await next.take(10)
    assert.deepEqual(textsOf(again), [...textsOf(taken), entry('four')])
    // or an entry that was not cast would overtake a later one of its voter that was
    for (const vote of taken.filter(({ text }) => text !== 'no vote')) assert.ok(again.some(({ order }) => order === vote.order))
  })

  test('leaves what was taken in Redis when another consumer may still be alive', async (t) => {
    const { redis, list, key, connect, inList } = scene(t)
    await redis.rpush(list, entry('one'), entry('two'))
    const [crashed, last] = [await connect(), await connect()]
    const taken = [...(await crashed.take(1)), ...(await last.take(1))]
    await last.close()
    assert.deepEqual(await inList(), [])
    assert.equal(await redis.llen(key('recovered')), 1)
    await redis.del(...(await redis.keys(key('taken:*:alive'))))
    // a consumer that comes and goes brings back what the others left
    await (await connect()).close()
    assert.deepEqual(votersOf(await inList()), ['one', 'two'])
    const next = await connect()
    assert.deepEqual(await next.take(10), taken)
  })

  test('takes over what a dead consumer of that version held', async (t) => {
    const { redis, list, key, connect } = scene(t)
    await redis.sadd(key('consumers'), key('taken:older'))
    await redis.rpush(key('taken:older'), entry('one'), entry('two'))
    await redis.rpush(list, entry('three'))
    const votes = await connect()
    assert.deepEqual(votersOf(textsOf(await votes.take(10))), ['one', 'two', 'three'])
  })
})

describe('large and odd entries of a list', () => {
  test('are taken about a megabyte at a time, and one at least', async (t) => {
    const { redis, list, connect } = scene(t)
    const pad = 'x'.repeat(300_000)
    for (let i = 0; i < 12; i++) await redis.rpush(list, entry(`voter-${i}`, { pad }))
    await redis.rpush(list, entry('large', { pad: 'x'.repeat(4_000_000) }), entry('small'))
    const votes = await connect()
    const batches: string[][] = []
    for (let taken = await votes.take(500); taken.length > 0; taken = await votes.take(500)) {
      assert.deepEqual(await votes.take(500), taken)
      batches.push(votersOf(textsOf(taken)))
      await votes.done(taken, [])
    }
    assert.deepEqual(
      batches.map(({ length }) => length),
      [4, 4, 4, 1, 1],
    )
    assert.deepEqual(batches.flat(), [...Array.from({ length: 12 }, (_, i) => `voter-${i}`), 'large', 'small'])
  })

  test('do not block it: the text of one that might not come in time stays in Redis', async (t) => {
    const { redis, list, key, connect } = scene(t)
    const huge = entry('huge', { pad: 'x'.repeat(17_000_000) })
    await redis.rpush(list, huge, entry('small'))
    const votes = await connect()
    const taken = await votes.take(500)
    assert.deepEqual(textsOf(taken), [''])
    await votes.done(taken, taken)
    assert.equal((await redis.lindex(key('rejected'), 0))?.length, huge.length)
    assert.deepEqual(textsOf(await votes.take(500)), [entry('small')])
  })

  test('keep every byte when they are rejected', async (t) => {
    const { redis, list, key, connect } = scene(t)
    const odd = [
      Buffer.from([0xff, 0xfe, 0x00, 0x20, 0x80]),
      Buffer.from(''),
      Buffer.from('1764000000000000 {}'),
      Buffer.from(' '),
    ]
    await redis.rpush(list, odd[0] ?? '', entry('good'), ...odd.slice(1))
    const votes = await connect()
    const taken = await votes.take(500)
    const rejected = taken.filter(({ text }) => text !== entry('good'))
    await votes.done(taken, rejected)
    await votes.done(taken, rejected)
    assert.deepEqual((await redis.lrangeBuffer(key('rejected'), 0, -1)).toReversed(), odd)
  })
})
