/** Redis under Sentinels loses its master, a cluster one of three, and one Redis goes away altogether, while people vote. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import { Redis } from 'ioredis'
import { slotOf } from '../../shared/bus/redis-slot.ts'
import { calibrate } from '../support/calibration.ts'
import { startChild } from '../support/child.ts'
import { freePort } from '../support/free-port.ts'
import { startRedisCluster } from '../support/redis-cluster.ts'
import { LIVETALLY_LOGIN, secureRedis } from '../support/redis-secured.ts'
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
  assert.ok(seen.pauseMs <= 4_000 * slowness, `no vote was acknowledged for ${seen.pauseMs} ms`)
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
    await using security = await secureRedis()
    await using cluster = await startRedisCluster({ security, withReplicas: true })
    const url = `rediss+cluster://${LIVETALLY_LOGIN}@${cluster.hosts}`
    await using scene = await startRedisScene(url, { REDIS_CA_FILE: security.caFile })
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

test('a gateway with a wrong password, or at a node of a cluster, ends with a sentence that says so', TIME, async () => {
  await using security = await secureRedis()
  const port = await freePort()
  await using redis = await startRedis({ port, args: security.args(port) })
  await using cluster = await startRedisCluster()
  const wrong = [
    [`rediss://livetally:wrong@localhost:${redis.port}`, /^cannot start: Redis does not take the user and password of REDIS_URL/],
    [
      `redis://127.0.0.1:${cluster.masters[0]?.port}`,
      /^cannot start: this Redis is a node of a cluster: REDIS_URL must begin with redis\+cluster/,
    ],
  ] as const
  for (const [url, says] of wrong) {
    const env = {
      REDIS_URL: url,
      REDIS_CA_FILE: security.caFile,
      BACKEND_URL: 'http://127.0.0.1:1',
      PORT: '0',
      METRICS_PORT: '0',
    }
    await using gateway = startChild({ entry: 'gateway/main.ts', env })
    assert.equal((await gateway.exited).code, 1)
    assert.ok(
      gateway.logs.some(({ msg }) => says.test(msg ?? '')),
      gateway.lines.join('\n'),
    )
    assert.ok(!gateway.lines.join().includes('wrong@'), 'nor the password')
  }
})
