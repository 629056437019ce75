/** Redis under Sentinels loses its master, a cluster one of three, and one Redis goes away altogether, while people vote. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import { Redis } from 'ioredis'
import { slotOf } from '../../shared/bus/redis-slot.ts'
import { calibrate } from '../support/calibration.ts'
import { startRedisCluster } from '../support/redis-cluster.ts'
import { POLL, startRedisScene, type Seen } from '../support/redis-scene.ts'
import { startSentinels, type SentinelService } from '../support/redis-sentinel.ts'
import { startRedis, type RedisService } from '../support/redis-service.ts'
import { recordRow } from './rows.ts'

const { slowness } = await calibrate()
const TIME = { timeout: 120_000 }

const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`

function check(t: TestContext, part: string, failure: string, seen: Seen, { behindMs }: { readonly behindMs: number }) {
  t.diagnostic(JSON.stringify(seen))
  assert.equal(seen.refused, 0)
  assert.ok(seen.pauseMs <= 1_000 * slowness, `no vote was acknowledged for ${seen.pauseMs} ms`)
  assert.ok(seen.behindMs <= behindMs * slowness, `screens were ${seen.behindMs} ms behind`)
  assert.equal(seen.silentMs, 0, 'they stayed live')
  recordRow({
    part,
    failure,
    votesPause: `none, at most ${seconds(seen.pauseMs)} between two`,
    screens: `at most ${seconds(seen.behindMs)} behind, live`,
    lost: 'nothing',
  })
}

/** Resolves once the server takes writes, and the Sentinels say so. */
async function untilMaster(sentinels: SentinelService, { url, port }: RedisService): Promise<void> {
  const redis = new Redis(url)
  const isMaster = async () =>
    (await redis.set('livetally:test', '1').catch(() => '')) === 'OK' && (await sentinels.master()) === port
  const deadline = performance.now() + 30_000
  while (!(await isMaster())) {
    assert.ok(performance.now() < deadline, 'there is no new master')
    await delay(10)
  }
  redis.disconnect()
}

test(
  'the master under Sentinels is killed: screens stay live, and the bus works two seconds after the new one answers',
  TIME,
  async (t) => {
    await using sentinels = await startSentinels()
    await using scene = await startRedisScene(`redis+sentinel://${sentinels.hosts}`)
    const [master, replica] = sentinels.servers
    const voting = scene.vote()
    await delay(500)
    await master.kill()
    await untilMaster(sentinels, replica)
    const worksMs = await scene.untilBusWorks()
    t.diagnostic(`the bus worked ${Math.round(worksMs)} ms after the new master answered`)
    assert.ok(worksMs <= 2_000 * slowness, `${worksMs} ms`)
    check(t, 'Redis Sentinel', 'the master is killed and its replica promoted', await voting.end(), { behindMs: 1_500 })
  },
)

test(
  'one master of a cluster is killed: screens stay live, and the bus works two seconds after its replica answers',
  TIME,
  async (t) => {
    await using cluster = await startRedisCluster({ withReplicas: true })
    await using scene = await startRedisScene(`redis+cluster://${cluster.hosts}`)
    const index = Math.floor((slotOf(POLL) * cluster.masters.length) / 16_384)
    const [master, replica] = [cluster.masters[index], cluster.replicas[index]]
    assert.ok(master !== undefined && replica !== undefined)
    const voting = scene.vote()
    await delay(500)
    await master.redis.kill()
    const deadline = performance.now() + 30_000
    while (!/^role:master/m.test(await replica.admin.info('replication'))) {
      assert.ok(performance.now() < deadline, 'the replica is not promoted')
      await delay(10)
    }
    const worksMs = await scene.untilBusWorks()
    t.diagnostic(`the bus worked ${Math.round(worksMs)} ms after the replica was promoted`)
    assert.ok(worksMs <= 2_000 * slowness, `${worksMs} ms`)
    check(t, 'Redis Cluster', 'one of three masters is killed and its replica promoted', await voting.end(), { behindMs: 1_500 })
  },
)

test(
  'Redis is killed and stays away for five seconds: screens stay live, and nobody notices that it is back',
  TIME,
  async (t) => {
    await using redis = await startRedis()
    await using scene = await startRedisScene(redis.url)
    const voting = scene.vote()
    await delay(500)
    await redis.kill()
    await delay(5_000)
    await redis.start()
    const worksMs = await scene.untilBusWorks()
    t.diagnostic(`the bus worked ${Math.round(worksMs)} ms after Redis was back`)
    assert.ok(worksMs <= 2_000 * slowness, `${worksMs} ms`)
    await delay(500)
    check(t, 'Redis', 'it is killed, and started empty 5 s later', await voting.end(), { behindMs: 1_000 })
  },
)
