/** What a Redis that is slow, full, demoted, resharded or promoted a moment behind does to votes and screens. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import { Redis } from 'ioredis'
import { slotOf } from '../../shared/bus/redis-slot.ts'
import { calibrate } from '../support/calibration.ts'
import { startRedisCluster } from '../support/redis-cluster.ts'
import { POLL, startRedisScene, type Seen } from '../support/redis-scene.ts'
import { startSentinels } from '../support/redis-sentinel.ts'
import { startRedis } from '../support/redis-service.ts'
import { watch } from '../support/watcher.ts'
import { recordRow } from './rows.ts'

const { slowness } = await calibrate()
const TIME = { timeout: 180_000 }
/** What these tests allow a Redis, so that it is soon full. */
const FULL = ['--maxmemory', '4mb', '--maxmemory-policy']

const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`

function check(t: TestContext, part: string, failure: string, seen: Seen, behindMs: number) {
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

for (const hangsMs of [3_000, 15_000]) {
  test(`Redis hangs for ${hangsMs / 1_000} s`, TIME, async (t) => {
    await using redis = await startRedis()
    await using scene = await startRedisScene(redis.url)
    const voting = scene.vote()
    await delay(1_000)
    await redis.pause()
    await delay(hangsMs)
    await redis.resume()
    const worksMs = await scene.untilBusWorks()
    assert.ok(worksMs <= 3_000 * slowness, `the bus worked ${worksMs} ms after it went on`)
    await delay(1_000)
    check(t, 'Redis', `it hangs for ${hangsMs / 1_000} s`, await voting.end(), 1_500)
  })
}

/** Writes keys of somebody else until Redis refuses, or has dropped as many as it holds. */
async function fill(redis: Redis): Promise<string | undefined> {
  for (let index = 0; index < 20_000; index += 1) {
    const refusal = await redis.set(`other:${index}`, 'x'.repeat(1_000)).catch((error: unknown) => String(error))
    if (refusal !== 'OK') return refusal ?? undefined
  }
  return undefined
}

test('Redis is full and refuses writes (noeviction)', TIME, async (t) => {
  await using redis = await startRedis({ args: [...FULL, 'noeviction'] })
  await using scene = await startRedisScene(redis.url)
  const admin = new Redis(redis.url)
  t.after(() => admin.disconnect())
  const voting = scene.vote()
  await delay(500)
  assert.match(String(await fill(admin)), /OOM/)
  // and stays full when it needs less for its connections
  await admin.call('CONFIG', 'SET', 'maxmemory', '3mb')
  await delay(5_000)
  const [gateway] = scene.cluster.gateways
  const { checks } = (await (await fetch(`${gateway?.url}/ready`)).json()) as { checks: { bus: { ok: boolean; error?: string } } }
  assert.match(checks.bus.error ?? '', /OOM/)
  await admin.call('CONFIG', 'SET', 'maxmemory', '100mb')
  const worksMs = await scene.untilBusWorks()
  assert.ok(worksMs <= 2_000 * slowness, `the bus worked ${worksMs} ms after there was room`)
  await delay(500)
  check(t, 'Redis', 'it is full and refuses writes (noeviction)', await voting.end(), 1_500)
})

test('Redis is full and drops keys (allkeys-lru)', TIME, async (t) => {
  await using redis = await startRedis({ args: [...FULL, 'allkeys-lru'] })
  await using scene = await startRedisScene(redis.url)
  const admin = new Redis(redis.url)
  t.after(() => admin.disconnect())
  const voting = scene.vote()
  await delay(500)
  for (let round = 0; round < 3; round += 1) assert.equal(await fill(admin), undefined)
  await delay(500)
  check(t, 'Redis', 'it is full and drops keys (allkeys-lru)', await voting.end(), 1_500)
})

test('the poll’s slot is moved from node to node of a cluster', TIME, async (t) => {
  await using cluster = await startRedisCluster()
  await using scene = await startRedisScene(`redis+cluster://${cluster.hosts}`)
  const slot = slotOf(POLL)
  const voting = scene.vote()
  await delay(500)
  let at = Math.floor((slot * cluster.masters.length) / 16_384)
  for (let moves = 0; moves < 6; moves += 1) {
    const [from, to] = [cluster.masters[at], cluster.masters[(at + 1) % cluster.masters.length]]
    assert.ok(from !== undefined && to !== undefined)
    // its keys are on one node and it is still known as the other's for a second
    await cluster.moveSlot(slot, from, to, () => delay(1_000))
    at = (at + 1) % cluster.masters.length
    await delay(500)
  }
  const worksMs = await scene.untilBusWorks()
  assert.ok(worksMs <= 2_000 * slowness, `${worksMs} ms`)
  check(t, 'Redis Cluster', 'the slot of a poll is moved six times, each for a second', await voting.end(), 1_500)
})

test('the master under Sentinels is made a replica by hand', TIME, async (t) => {
  await using sentinels = await startSentinels()
  await using scene = await startRedisScene(`redis+sentinel://${sentinels.hosts}`)
  const sentinel = new Redis({ port: sentinels.sentinelPorts[0] ?? 0, enableReadyCheck: false })
  t.after(() => sentinel.disconnect())
  const voting = scene.vote()
  await delay(500)
  await sentinel.call('SENTINEL', 'FAILOVER', 'tallies')
  const replica = sentinels.servers[1].port
  for (const deadline = performance.now() + 30_000; (await sentinels.master()) !== replica;) {
    assert.ok(performance.now() < deadline, 'there is no new master')
    await delay(20)
  }
  const worksMs = await scene.untilBusWorks()
  t.diagnostic(`the bus worked ${Math.round(worksMs)} ms after the Sentinels named the new master`)
  assert.ok(worksMs <= 2_000 * slowness, `${worksMs} ms`)
  await delay(3_000)
  check(t, 'Redis Sentinel', 'the master is made a replica by hand (SENTINEL FAILOVER)', await voting.end(), 1_500)
})

test(
  'a replica that lacks the last tallies is promoted: newcomers see an older one for four seconds at most',
  TIME,
  async (t) => {
    await using sentinels = await startSentinels()
    await using scene = await startRedisScene(`redis+sentinel://${sentinels.hosts}`)
    const [master, replica] = sentinels.servers
    const first = scene.vote()
    await delay(500)
    await first.end()
    const admin = new Redis(replica.url)
    t.after(() => admin.disconnect())
    const key = `livetally:tally:${POLL}`
    const older = await admin.hgetall(key)
    const second = scene.vote()
    await delay(500)
    await second.end()
    // a gateway that follows no poll yet reads what the promoted one keeps
    const newcomer = await scene.cluster.startGateway()
    await master.kill()
    for (const deadline = performance.now() + 30_000; !(await admin.set('livetally:test', '1').catch(() => ''));) {
      assert.ok(performance.now() < deadline, 'there is no new master')
      await delay(10)
    }
    // what it would keep if it had not got the last ones before the master was killed
    await admin.hset(key, older)
    const promotedAt = performance.now()
    const screen = await watch(newcomer.url, [POLL])
    const right = (await (await fetch(`${newcomer.url}/api/polls/${POLL}`)).json()) as { tally: { total: number } }
    await screen.until((frame) => frame.type === 'tally' && frame.total >= right.tally.total)
    const shownMs = performance.now() - promotedAt
    const kept = async () =>
      (JSON.parse((await admin.hget(key, 'snapshot')) ?? '{"tally":{"total":-1}}') as typeof right).tally.total
    while ((await kept()) < right.tally.total) {
      assert.ok(performance.now() - promotedAt < 30_000, 'it is still older')
      await delay(20)
    }
    const keptMs = performance.now() - promotedAt
    screen.close()
    t.diagnostic(`right on the screen after ${Math.round(shownMs)} ms, in Redis after ${Math.round(keptMs)} ms`)
    assert.ok(Math.max(shownMs, keptMs) <= 4_500 * slowness, `${shownMs} and ${keptMs} ms`)
    recordRow({
      part: 'Redis Sentinel',
      failure: 'a replica that lacks the last tallies is promoted while nobody votes',
      votesPause: 'none',
      screens: `those that were there: right; newcomers: older for at most ${seconds(shownMs)}, in Redis ${seconds(keptMs)}`,
      lost: 'nothing',
    })
  },
)
