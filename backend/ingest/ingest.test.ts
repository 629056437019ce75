import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { testRedis } from '../../e2e/support/test-redis.ts'
import { type BallotBox, createBallotBox } from '../ballots/ballot-box.ts'
import { VoteUnconfirmed } from '../ballots/cast-outcome.ts'
import { onEachDatabase } from '../../e2e/support/databases-under-test.ts'
import { createPollStore } from '../polls/poll-store.ts'
import { createTallyReader } from '../tallies/tally-reader.ts'
import { ingest, ingestedVoter } from './ingest.ts'
import { type VoteList, connectVoteList } from './vote-list.ts'

/** An entry as the vote page of Docker's example voting app pushes it. */
const entry = (voter: string, vote: string) => JSON.stringify({ voter_id: voter, vote })

onEachDatabase('taking votes from a list', (use, kind) => {
  const scene = async (t: { after(work: () => Promise<void>): void }) => {
    const { database, log, createPoll } = use()
    const server = testRedis()
    const redis = new Redis(server.url, { maxRetriesPerRequest: 1 })
    const list = `${server.namespace}-votes`
    const { slug: poll } = await createPoll({
      options: [
        { id: 'a', label: 'Cats' },
        { id: 'b', label: 'Dogs' },
      ],
    })
    const ballotBox = createBallotBox({ database, log, now: Date.now })
    const store = createTallyReader(database)
    t.after(async () => {
      redis.disconnect()
      await ballotBox.drain()
      await store.close()
      await server.forget()
    })
    const connect = () => connectVoteList({ url: server.url, namespace: server.namespace, list })
    return {
      redis,
      list,
      poll,
      ballotBox,
      connect,
      rejected: () => redis.lrange(`${server.namespace}:ingest:${list}:rejected`, 0, -1),
      /** Ingests until the list is empty and no consumer holds entries of it. */
      drainList: async (votes: VoteList, box: Pick<BallotBox, 'cast'> = ballotBox) => {
        const stop = new AbortController()
        const work = ingest({ list: votes, ballotBox: box, slug: poll, log, now: Date.now, batchMax: 50 }, stop.signal)
        const left = async () =>
          (await redis.exists(list, `${server.namespace}:ingest:${list}:recovered`)) +
          (await redis.keys(`${server.namespace}*taken:*`)).filter((key) => !key.endsWith(':alive')).length
        while ((await left()) > 0) await new Promise((resolve) => setTimeout(resolve, 10))
        stop.abort()
        await work
      },
      recovered: () => redis.lrange(`${server.namespace}:ingest:${list}:recovered`, 0, -1),
      counts: async () => (await store.read(poll))?.tally.counts,
    }
  }

  test("counts the example app's entries in order, the last vote of a voter as the ballot", async (t) => {
    const { redis, list, connect, drainList, counts, rejected } = await scene(t)
    const votes = await connect()
    for (let i = 0; i < 120; i++) await redis.rpush(list, entry(`voter-${i}`, i % 3 === 0 ? 'b' : 'a'))
    await redis.rpush(list, entry('voter-0', 'a'), entry('voter-1', 'b'))
    await drainList(votes)
    assert.deepEqual(await counts(), { a: 80, b: 40 })
    await votes.close()
    assert.deepEqual(await rejected(), [])
  })

  test('keeps aside what is no vote, and goes on', async (t) => {
    const { redis, list, connect, drainList, counts, rejected } = await scene(t)
    const votes = await connect()
    const odd = ['not JSON', '{"voter_id":7,"vote":"a"}', '[]', entry('x', 'nonsense'), entry('y', '\0')]
    await redis.rpush(list, ...odd.slice(0, 2), entry('good', 'a'), ...odd.slice(2))
    await drainList(votes)
    assert.deepEqual(await counts(), { a: 1, b: 0 })
    assert.deepEqual((await rejected()).toSorted(), odd.toSorted())
    await votes.close()
  })

  test('tries again what could not be confirmed, and what was turned away for the moment', async (t) => {
    const { redis, list, connect, drainList, counts, ballotBox } = await scene(t)
    const votes = await connect()
    let casts = 0
    const moody: Pick<BallotBox, 'cast'> = {
      cast: async (vote) => {
        casts++
        if (casts === 1) throw new VoteUnconfirmed('who knows')
        if (casts < 8) return { kind: 'overloaded', retryAfterMs: 5 }
        return await ballotBox.cast(vote)
      },
    }
    await redis.rpush(list, entry('one', 'a'), entry('two', 'b'))
    await drainList(votes, moody)
    assert.deepEqual(await counts(), { a: 1, b: 1 })
    await votes.close()
  })

  test('hands what a consumer held to the next when it leaves, with its place in the order', async (t) => {
    const { redis, list, connect, recovered, drainList, counts } = await scene(t)
    const [first, second] = [await connect(), await connect()]
    assert.deepEqual(await second.take(1), [])
    await redis.rpush(list, entry('one', 'a'), entry('two', 'a'), entry('three', 'b'))
    const taken = await first.take(2)
    assert.deepEqual(
      taken.map(({ text }) => text),
      [entry('one', 'a'), entry('two', 'a')],
    )
    await first.close()
    assert.deepEqual(
      await recovered(),
      taken.map(({ order, text }) => `${order} ${text}`),
    )
    const again = await second.take(3)
    assert.deepEqual(again.slice(0, 2), taken)
    assert.ok(again.map(({ order }) => order).every((order, i, orders) => i === 0 || order > (orders[i - 1] ?? 0)))
    await drainList(second)
    assert.deepEqual(await counts(), { a: 2, b: 1 })
    await second.close()
  })

  test('recovers what a consumer held that died', async (t) => {
    const { redis, list, connect, drainList, counts } = await scene(t)
    const dead = await connect()
    await redis.rpush(list, entry('one', 'a'))
    assert.equal((await dead.take(10)).length, 1)
    // its `alive` key expires, as it does ten seconds after a crash
    for (const key of await redis.keys('*:alive')) if (key.includes(list)) await redis.del(key)
    const heir = await connect()
    await drainList(heir)
    assert.deepEqual(await counts(), { a: 1, b: 0 })
    await heir.close()
    await dead.close()
  })

  test('deletes what was cast, and not what came to it by a take whose answer was lost', async (t) => {
    const { redis, list, connect, drainList, counts } = await scene(t)
    const votes = await connect()
    await redis.rpush(list, entry('one', 'a'), entry('two', 'b'))
    const cast = await votes.take(1)
    await votes.take(2)
    await votes.done(cast, [])
    assert.deepEqual(
      (await votes.take(2)).map(({ text }) => text),
      [entry('two', 'b')],
    )
    await drainList(votes)
    assert.deepEqual(await counts(), { a: 0, b: 1 })
    await votes.close()
  })

  test('keeps its orders rising when Redis loses the last one', async (t) => {
    const { redis, list, connect } = await scene(t)
    const votes = await connect()
    const orders: number[] = []
    for (let i = 0; i < 3; i++) {
      await redis.rpush(list, entry('one', 'a'), entry('one', 'b'))
      const taken = await votes.take(2)
      orders.push(...taken.map(({ order }) => order))
      await votes.done(taken, [])
      await redis.del(...(await redis.keys(`*${list}:last`)))
    }
    assert.deepEqual(
      orders,
      [...new Set(orders)].toSorted((a, b) => a - b),
    )
    await votes.close()
  })

  test('loses nothing while its poll is missing or not yet open, says so once for each, and counts in order when it opens', async (t) => {
    const { redis, list, connect, ballotBox, rejected } = await scene(t)
    const { database, log } = use()
    const polls = createPollStore(database)
    const slug = `late-${kind}`
    const store = createTallyReader(database)
    t.after(() => store.close())
    await redis.rpush(list, entry('one', 'a'), entry('two', 'b'), 'no vote', entry('one', 'b'))
    const waits: number[] = []
    const onWaiting = (entries: number) => waits.push(entries)
    const begin = async () => {
      const [votes, stop] = [await connect(), new AbortController()]
      const ended = ingest({ list: votes, ballotBox, slug, log, now: Date.now, batchMax: 3, onWaiting }, stop.signal)
      return async () => {
        stop.abort()
        await ended
        await votes.close()
      }
    }
    const saidOf = (what: RegExp) => log.lines.filter((line) => what.test(line)).length
    const until = async (isSo: () => boolean) => {
      while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10))
    }

    const end = await begin()
    while (waits.filter((entries) => entries > 0).length < 4) {
      assert.deepEqual(await rejected(), [])
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    assert.equal(saidOf(/wait for their poll/), 1)
    await polls.create({
      slug,
      question: 'Cats or dogs?',
      options: ['a', 'b'].map((id) => ({ id, label: id })),
      opensAt: new Date(Date.now() + 3_600_000),
    })
    await until(() => saidOf(/wait for their poll/) === 2)
    // the backend leaves, and another goes on with what it held
    await end()
    const next = await begin()
    const before = waits.length
    // of the three entries that are taken one is no vote
    await until(() => waits.slice(before).includes(2))
    assert.deepEqual(await rejected(), [])

    await polls.edit(slug, { state: 'open', opensAt: null })
    const counts = async () => (await store.read(slug))?.tally.counts
    while (JSON.stringify(await counts()) !== '{"a":0,"b":2}') await new Promise((resolve) => setTimeout(resolve, 10))
    await until(() => saidOf(/takes votes now/) === 1)
    assert.equal(waits.at(-1), 0)
    while ((await rejected()).length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.deepEqual(await rejected(), ['no vote'])

    // a closed poll is no reason to wait
    await polls.edit(slug, { state: 'closed' })
    await redis.rpush(list, entry('three', 'a'))
    while ((await rejected()).length < 2) await new Promise((resolve) => setTimeout(resolve, 10))
    assert.deepEqual(await rejected(), [entry('three', 'a'), 'no vote'])
    await next()
    assert.deepEqual(await counts(), { a: 0, b: 2 })
  })

  if (kind === 'pglite') return
  test('gives every voter of the other program one id', () => {
    assert.equal(ingestedVoter('1f3b'), ingestedVoter('1f3b'))
    assert.notEqual(ingestedVoter('1f3b'), ingestedVoter('1f3c'))
    assert.match(ingestedVoter('1f3b'), /^[0-9a-f-]{36}$/)
  })
})
