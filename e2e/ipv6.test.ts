/** Clusters without IPv4, and those with both. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createVoter, startCluster, type Cluster } from './support/cluster.ts'
import { startPostgres } from './support/postgres-service.ts'
import { startRedis } from './support/redis-service.ts'
import { watch } from './support/watcher.ts'

const POLL = {
  poll: 'cats-or-dogs',
  question: 'Cats or dogs?',
  options: [
    { id: 'cats', label: 'Cats' },
    { id: 'dogs', label: 'Dogs' },
  ],
}

/** A vote comes in at the address and is seen there. */
async function voteAndSee(cluster: Cluster, url: string): Promise<void> {
  assert.equal((await cluster.admin('POST', '/api/polls', POLL)).status, 201)
  const watcher = await watch(url, [POLL.poll])
  await watcher.until((frame) => frame.type === 'tally' && frame.total === 0)
  const voter = await createVoter(url, POLL.poll)
  assert.equal((await voter.vote(url, 'dogs')).status, 200)
  await watcher.until((frame) => frame.type === 'tally' && frame.total === 1)
  watcher.close()
}

describe('IPv6', () => {
  test('gateway, backend, Postgres and Redis need no IPv4', async () => {
    await using postgres = await startPostgres({ settings: { listen_addresses: '::1' } })
    await using redis = await startRedis({ host: '::1' })
    const servers = { databaseUrl: postgres.url.replace('127.0.0.1', '[::1]'), redisUrl: redis.url }
    await using cluster = await startCluster({ servers, env: { HOST: '::1' } })
    const url = cluster.gateways[0]?.url ?? ''
    assert.match(url, /^http:\/\/\[::1\]:/)
    await voteAndSee(cluster, url)
    for (const { url: at } of [...cluster.gateways, ...cluster.backends]) {
      await assert.rejects(fetch(`${at.replace('[::1]', '127.0.0.1')}/live`), 'nobody listens at an address of IPv4')
    }
  })

  test('unless told, gateway and backend listen at every address of either kind', async () => {
    await using cluster = await startCluster({ env: { HOST: '' } })
    for (const { url, child } of [...cluster.gateways, ...cluster.backends]) {
      const { metricsPort } = await child.logged((line) => line.msg === 'listening')
      for (const host of ['127.0.0.1', '[::1]']) {
        assert.equal((await fetch(`${url.replace('127.0.0.1', host)}/ready`)).status, 200, host)
        assert.equal((await fetch(`http://${host}:${Number(metricsPort)}/metrics`)).status, 200, host)
      }
    }
    await voteAndSee(cluster, (cluster.gateways[0]?.url ?? '').replace('127.0.0.1', '[::1]'))
  })
})
