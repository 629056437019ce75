import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { Redis } from 'ioredis'
import { createTestLog } from '../../e2e/support/databases-under-test.ts'
import { startRedis, type RedisService } from '../../e2e/support/redis-service.ts'
import { createTestDatabase, type TestDatabase } from '../../e2e/support/test-database.ts'
import { wait } from '../../shared/lifecycle/clock.ts'
import { type BallotBox, createBallotBox } from '../ballots/ballot-box.ts'
import type { Database } from '../database/database.ts'
import { connectPostgres } from '../database/postgres.ts'
import { createPollStore } from '../polls/poll-store.ts'
import { ingest, ingestedVoter } from './ingest.ts'
import { connectVoteList } from './vote-list.ts'

const VOTERS = 40
const ENTRIES = 10_000
const OPTIONS = ['a', 'b', 'c']

/** Numbers from 0 to 1 that are the same for the same seed (mulberry32). */
const randomFrom = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
}

describe("the order of a voter's entries in a list", () => {
  const log = createTestLog()
  let server: RedisService
  let redis: Redis
  let postgres: TestDatabase
  let database: Database
  let scenes = 0
  before(async () => {
    ;[server, postgres] = await Promise.all([startRedis(), createTestDatabase()])
    redis = new Redis(server.url)
    redis.on('error', () => {})
    database = await connectPostgres({ url: postgres.url, log })
  })
  after(async () => {
    redis.disconnect()
    await database.close()
    await Promise.all([server.stop(), postgres.drop()])
  })

  /** A poll, a list for it, and the vote of each voter that is last in the list. */
  const createScene = async () => {
    const [slug, list] = [`poll-${++scenes}`, `votes-${scenes}`]
    const options = OPTIONS.map((id) => ({ id, label: id }))
    await createPollStore(database).create({ slug, question: 'Which?', options })
    const ledger = new Map<string, string>()
    const keysLike = (pattern: string) => redis.keys(`livetally:ingest:${list}:${pattern}`)
    return {
      slug,
      list,
      push: async (count: number, random: () => number) => {
        const entries = Array.from({ length: count }, () => {
          const [voter, vote] = [`voter-${Math.floor(random() * VOTERS)}`, OPTIONS[Math.floor(random() * OPTIONS.length)] ?? '']
          ledger.set(ingestedVoter(voter), vote)
          return JSON.stringify({ voter_id: voter, vote })
        })
        await redis.rpush(list, ...entries)
      },
      /** How many lists hold entries that have not been cast. */
      held: async () => {
        const taken = (await keysLike('taken:*')).filter((key) => !key.endsWith(':alive'))
        return taken.length + (await redis.exists(list, `livetally:ingest:${list}:recovered`))
      },
      /** Makes every consumer look dead, as one does that was stopped or killed ten seconds ago. */
      forgetConsumers: async () => {
        const keys = await keysLike('taken:*:alive')
        if (keys.length > 0) await redis.del(...keys)
      },
      assertLastVotesStand: async () => {
        const rows = await database.query<{ voter_id: string; option: string }>(
          {
            text: 'SELECT voter_id, option FROM livetally.ballots b JOIN livetally.polls p ON p.id = b.poll_id WHERE p.slug = $1',
          },
          [slug],
        )
        const ballots = Object.fromEntries(rows.map(({ voter_id: voter, option }) => [voter, option]))
        assert.deepEqual(ballots, Object.fromEntries(ledger))
      },
    }
  }
  type Scene = Awaited<ReturnType<typeof createScene>>

  /** A consumer as in a process of its own. Each batch may take a while, so that consumers overtake each other. */
  const startConsumer = async ({ slug, list }: Scene, random: () => number = () => 0) => {
    const votes = await connectVoteList({ url: server.url, list, namespace: 'livetally' })
    const box = createBallotBox({ database, log, now: () => performance.now(), writers: 1 })
    const stop = new AbortController()
    let killed = false
    const alive = () => {
      if (killed) throw new Error('this consumer was killed')
    }
    let slow = Promise.resolve()
    const taking: typeof votes = {
      ...votes,
      take: async (max) => {
        alive()
        const entries = await votes.take(max)
        slow = wait(random() * 40)
        return entries
      },
      done: async (...entries) => {
        alive()
        await votes.done(...entries)
      },
    }
    const casting: Pick<BallotBox, 'cast'> = {
      cast: async (vote) => {
        await slow
        return await box.cast(vote)
      },
    }
    const ended = ingest(
      { list: taking, ballotBox: casting, slug, log, now: () => performance.now(), batchMax: 100 },
      stop.signal,
    )
    return {
      /** It takes nothing more and forgets nothing; what it has taken may still be cast, at any time. */
      kill: () => {
        killed = true
        stop.abort()
      },
      stop: async () => {
        stop.abort()
        await ended
        await box.drain()
        await votes.close()
      },
    }
  }

  for (const consumers of [2, 4]) {
    for (const seed of [1, 2, 3]) {
      test(`holds for ${consumers} consumers that are killed and replaced, seed ${seed}`, async () => {
        const random = randomFrom(seed)
        const scene = await createScene()
        await scene.push(ENTRIES, random)
        const started = await Promise.all(Array.from({ length: consumers }, () => startConsumer(scene, random)))
        const living = [...started]
        while ((await redis.llen(scene.list)) > 0) {
          await wait(20 + random() * 80)
          living.splice(Math.floor(random() * living.length), 1)[0]?.kill()
          await scene.forgetConsumers()
          const next = await startConsumer(scene, random)
          started.push(next)
          living.push(next)
        }
        // each new consumer looks for what others left
        while ((await scene.held()) > 0) {
          await scene.forgetConsumers()
          started.push(await startConsumer(scene))
          await wait(100)
        }
        await Promise.all(started.map((consumer) => consumer.stop()))
        await scene.assertLastVotesStand()
      })
    }
  }

  test('goes on by itself when its connections are cut, and after Redis has hung', { timeout: 60_000 }, async () => {
    const random = randomFrom(7)
    const scene = await createScene()
    const consumers = await Promise.all([startConsumer(scene, random), startConsumer(scene, random)])
    const counted = async () => {
      while ((await scene.held()) > 0) await wait(20)
    }
    for (let cut = 0; cut < 20; cut++) {
      await scene.push(200, random)
      // leaves the connection that asks for it alone
      await redis.call('CLIENT', 'KILL', 'TYPE', 'normal')
      await wait(random() * 60)
    }
    await counted()
    await scene.push(500, random)
    await server.pause()
    await wait(5_000)
    await server.resume()
    await scene.push(500, random)
    await counted()
    await Promise.all(consumers.map((consumer) => consumer.stop()))
    await scene.assertLastVotesStand()
  })
})
