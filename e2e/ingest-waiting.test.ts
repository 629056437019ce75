import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { startCluster } from './support/cluster.ts'
import { watch } from './support/watcher.ts'

test('the votes of a list wait for a poll that is created later, and the backend says that they do', async (t) => {
  const cluster = await startCluster({ backends: 1 })
  t.after(() => cluster[Symbol.asyncDispose]())
  const list = `${cluster.redis.namespace}-votes`
  const { child } = await cluster.startBackend({ INGEST_REDIS_LIST: list, INGEST_POLL: 'late' })
  const redis = new Redis(cluster.redis.url)
  t.after(() => redis.disconnect())
  await redis.rpush(list, ...['a', 'b', 'b'].map((vote, voter) => JSON.stringify({ voter_id: `v${voter}`, vote })))

  const { reason } = await child.logged(({ msg }) => msg === 'votes of the list wait for their poll')
  assert.equal(reason, 'there is no such poll')
  const { metricsPort } = await child.logged(({ msg }) => msg === 'listening')
  const waiting = async () => {
    const text = await (await fetch(`http://127.0.0.1:${Number(metricsPort)}/metrics`)).text()
    return Number(/^livetally_ingest_waiting\{.*\} (?<count>\d+)$/m.exec(text)?.groups?.['count'])
  }
  assert.equal(await waiting(), 3)

  const options = ['a', 'b'].map((id) => ({ id, label: id }))
  assert.equal((await cluster.admin('POST', '/api/polls', { poll: 'late', question: 'Late?', options })).status, 201)
  const screen = await watch(cluster.gateways[0]?.url ?? '', ['late'])
  const tally = await screen.until((frame) => frame.type === 'tally' && frame.total === 3)
  assert.deepEqual(tally.type === 'tally' && tally.counts, { a: 1, b: 2 })
  await child.logged(({ msg }) => msg === 'the poll takes votes now: those of the list are cast')
  assert.equal(await waiting(), 0)
  screen.close()
})
