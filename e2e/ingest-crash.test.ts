import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { connectPostgres } from '../backend/database/postgres.ts'
import { ingestedVoter } from '../backend/ingest/ingest.ts'
import { wait } from '../shared/lifecycle/clock.ts'
import { ADMIN_TOKEN, startCluster } from './support/cluster.ts'
import { createTestLog } from './support/databases-under-test.ts'

const VOTERS = 40
const WAVES = 6
const ENTRIES_IN_WAVE = 2_000
const OPTIONS = ['a', 'b', 'c']
const POLL = { poll: 'pets', question: 'Which?', options: OPTIONS.map((id) => ({ id, label: id })) }

for (const backends of [2, 4]) {
  test(`the last entry of each voter stands after crashes of ${backends} backends that take from one list`, async (t) => {
    const cluster = await startCluster({ backends: 1, gateways: 0 })
    t.after(() => cluster[Symbol.asyncDispose]())
    const created = await fetch(`${cluster.backends[0]?.url}/api/polls`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${ADMIN_TOKEN}` },
      body: JSON.stringify(POLL),
    })
    assert.equal(created.status, 201)
    const list = `${cluster.redis.namespace}-votes`
    const taking = { INGEST_REDIS_LIST: list, INGEST_POLL: POLL.poll }
    const living = await Promise.all(Array.from({ length: backends }, () => cluster.startBackend(taking)))
    const redis = new Redis(cluster.redis.url)
    t.after(() => redis.disconnect())
    const last = new Map<string, string>()

    for (let wave = 0; wave < WAVES; wave++) {
      const entries = Array.from({ length: ENTRIES_IN_WAVE }, (_, i) => {
        const [voter, vote] = [`voter-${Math.floor(Math.random() * VOTERS)}`, OPTIONS[(i + wave) % OPTIONS.length] ?? '']
        last.set(ingestedVoter(voter), vote)
        return JSON.stringify({ voter_id: voter, vote })
      })
      await redis.rpush(list, ...entries)
      while ((await redis.llen(list)) > ENTRIES_IN_WAVE / 2) await wait(1)
      if (wave % 2 === 0) {
        living.shift()?.child.send('SIGKILL')
        living.push(await cluster.startBackend(taking))
      }
    }
    const left = async () => {
      const keys = await redis.keys(`${cluster.redis.namespace}:ingest:*`)
      const lists = keys.filter((key) => /:(recovered|taken:[^:]*)$/.test(key))
      return lists.length + (await redis.exists(list))
    }
    while ((await left()) > 0) await wait(50)

    const database = await connectPostgres({ url: cluster.databaseUrl, log: createTestLog(), migrations: false })
    t.after(() => database.close())
    const rows = await database.query<{ voter_id: string; option: string }>({
      text: 'SELECT voter_id, option FROM livetally.ballots',
    })
    assert.deepEqual(Object.fromEntries(rows.map(({ voter_id: voter, option }) => [voter, option])), Object.fromEntries(last))
  })
}
