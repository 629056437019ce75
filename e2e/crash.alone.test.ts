import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'node:test'
import { serializeSigned } from 'hono/utils/cookie'
import { connectPostgres } from '../backend/database/postgres.ts'
import { verify } from '../backend/verify/verify.ts'
import { uuidV7 } from '../backend/polls/voter-id.ts'
import { connectRedisBus } from '../shared/bus/redis-bus.ts'
import { createLog } from '../shared/telemetry/log.ts'
import { COOKIE_SECRET, ADMIN_TOKEN, startCluster } from './support/cluster.ts'
import { startPostgres } from './support/postgres-service.ts'
import { startRedis } from './support/redis-service.ts'

const POLL = 'cats-or-dogs'
const CRASHES = 20
/** Votes on their way at any time. */
const VOTERS = 48

const optionOf = (n: number) => (n % 3 === 0 ? 'dogs' : 'cats')

test(
  'twenty crashes of Postgres and of backends under full load lose no acknowledged vote and count none twice',
  { timeout: 300_000 },
  async (t) => {
    const [postgres, redis] = await Promise.all([startPostgres(), startRedis()])
    t.after(() => Promise.all([postgres.stop(), redis.stop()]))
    const cluster = await startCluster({ backends: 2, gateways: 0, servers: { databaseUrl: postgres.url, redisUrl: redis.url } })
    t.after(() => cluster[Symbol.asyncDispose]())
    const living = [...cluster.backends]
    const created = await fetch(new URL('/api/polls', living[0]?.url), {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${ADMIN_TOKEN}` },
      body: JSON.stringify({
        poll: POLL,
        question: 'Cats or dogs?',
        options: ['cats', 'dogs'].map((id) => ({ id, label: id })),
      }),
    })
    assert.equal(created.status, 201)

    /** What each voter was told: true if the vote was acknowledged, false if nobody can say. Each votes once. */
    const told = new Map<string, { readonly option: string; readonly acknowledged: boolean }>()
    let acknowledged = 0
    let voting = true
    const crowd = Promise.all(
      Array.from({ length: VOTERS }, async (_, member) => {
        for (let n = member; voting; n += VOTERS) {
          const voter = uuidV7(Date.now())
          const cookie = (await serializeSigned('voter', voter, COOKIE_SECRET)).split(';', 1)[0] ?? ''
          const status = await fetch(new URL(`/api/polls/${POLL}/vote`, living[n % living.length]?.url), {
            method: 'PUT',
            headers: { 'content-type': 'application/json', cookie },
            body: JSON.stringify({ option: optionOf(n) }),
          }).then(
            async (response) => {
              await response.arrayBuffer()
              return response.status
            },
            () => 0,
          )
          assert.ok([0, 200, 503].includes(status), `status ${status}`)
          told.set(voter, { option: optionOf(n), acknowledged: status === 200 })
          if (status === 200) acknowledged++
          else await delay(5)
        }
      }),
    )
    const served = async (more: number) => {
      for (const target = acknowledged + more; acknowledged < target;) await delay(5)
    }

    for (let crash = 0; crash < CRASHES; crash++) {
      await served(200)
      await delay(Math.random() * 100)
      if (crash % 2 === 0) {
        await postgres.crash()
        await postgres.start()
      } else {
        const [victim] = living
        victim?.child.send('SIGKILL')
        await victim?.child.exited
        living.shift()
        living.push(await cluster.startBackend())
      }
    }
    await served(200)
    voting = false
    await crowd

    const log = await createLog({ service: 'test', level: 'silent', terminal: false })
    const database = await connectPostgres({ url: postgres.url, log, migrations: false })
    const bus = await connectRedisBus({ url: redis.url, namespace: cluster.redis.namespace, log, now: Date.now })
    t.after(async () => {
      await bus.close()
      await database.close()
    })
    // a batch whose voters were told nothing may still be on its way
    await delay(500)
    const ballots = await database.query<{ voter_id: string; option: string }>({
      text: 'SELECT voter_id, option FROM livetally.ballots',
    })
    const stored = new Map(ballots.map(({ voter_id: voter, option }) => [voter, option]))
    for (const [voter, { option, acknowledged: yes }] of told) {
      if (yes) assert.equal(stored.get(voter), option, 'an acknowledged vote is missing')
      else assert.ok(stored.get(voter) === undefined || stored.get(voter) === option)
    }
    for (const voter of stored.keys()) assert.ok(told.has(voter), 'a ballot nobody cast')
    const [verified] = await verify({ database, bus, slugs: [POLL] })
    assert.ok(verified?.ok, JSON.stringify(verified))
    assert.equal(verified.published, 'same')
    const unknown = [...told.values()].filter((fate) => !fate.acknowledged).length
    t.diagnostic(`${acknowledged} votes acknowledged, ${unknown} unanswered, ${stored.size} stored`)
    const deadlocks = await database.query({ text: 'SELECT sum(deadlocks)::integer AS n FROM pg_stat_database' })
    assert.deepEqual(deadlocks, [{ n: 0 }])
  },
)
