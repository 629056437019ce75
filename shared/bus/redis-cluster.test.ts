import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import { startRedisCluster } from '../../e2e/support/redis-cluster.ts'
import type { Snapshot } from '../protocol/frames.ts'
import type { Log } from '../telemetry/log.ts'
import { connectRedisBus } from './redis-bus.ts'
import { slotOf } from './redis-slot.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

function snapshot(slug: string, version: number): Snapshot {
  return {
    poll: {
      type: 'poll',
      poll: slug,
      question: '?',
      options: [],
      state: 'open',
      resultsVisible: true,
      opensAt: null,
      closesAt: null,
    },
    tally: { type: 'tally', poll: slug, epoch: 1, version, total: version, at: '2026-01-01T00:00:00.000Z' },
  }
}

async function openBus(t: TestContext, hosts: string) {
  const url = `redis+cluster://${hosts}`
  const bus = await connectRedisBus({ url, namespace: 'livetally', log: silent, now: () => performance.now() })
  t.after(() => bus.close())
  return bus
}

test(
  'slots that move take their polls along: nothing is refused, and what is published is heard again',
  { timeout: 60_000 },
  async (t) => {
    await using cluster = await startRedisCluster()
    const [backend, gateway] = [await openBus(t, cluster.hosts), await openBus(t, cluster.hosts)]
    const slugs = ['tea', 'coffee', 'water', 'milk']
    const heard = new Map<string, number>()
    for (const slug of slugs) await gateway.subscribe(slug, ({ tally }) => heard.set(slug, tally.version))
    let version = 0
    const admitAll = async () => {
      version += 1
      for (const slug of slugs) assert.equal(await backend.admit(snapshot(slug, version)), true)
      // what a slot under way publishes need not be heard, but is read
      const { snapshots } = await gateway.latest(slugs)
      for (const slug of slugs) assert.equal(snapshots.get(slug)?.tally.version, version)
    }
    await admitAll()
    for (const slug of slugs) {
      const slot = slotOf(slug)
      const index = Math.floor((slot * cluster.masters.length) / 16_384)
      const [from, to] = [cluster.masters[index], cluster.masters[(index + 1) % cluster.masters.length]]
      assert.ok(from !== undefined && to !== undefined)
      await cluster.moveSlot(slot, from, to, admitAll)
      const movedAt = performance.now()
      do {
        assert.ok(performance.now() - movedAt < 2_000, `${slug} is not heard again`)
        await admitAll()
        await delay(20)
      } while (heard.get(slug) !== version)
      t.diagnostic(`${slug} was heard again after ${Math.round(performance.now() - movedAt)} ms`)
      // and back, to a node that dropped its channels
      await cluster.moveSlot(slot, to, from, admitAll)
      const backAt = performance.now()
      do {
        assert.ok(performance.now() - backAt < 2_000, `${slug} is not heard again`)
        await admitAll()
        await delay(20)
      } while (heard.get(slug) !== version)
    }
  },
)

test('a slot is followed to a node that is new, and back when that one leaves', { timeout: 60_000 }, async (t) => {
  await using cluster = await startRedisCluster()
  const [backend, gateway] = [await openBus(t, cluster.hosts), await openBus(t, cluster.hosts)]
  let [version, heard] = [0, 0]
  await gateway.subscribe('tea', ({ tally }) => void (heard = tally.version))
  const admit = async () => assert.equal(await backend.admit(snapshot('tea', (version += 1))), true)
  const isHeard = async () => {
    const deadline = performance.now() + 2_000
    do {
      assert.ok(performance.now() < deadline, 'it is not heard')
      await admit()
      await delay(20)
    } while (heard !== version)
  }
  const slot = slotOf('tea')
  const old = cluster.masters[Math.floor((slot * cluster.masters.length) / 16_384)]
  assert.ok(old !== undefined)
  const added = await cluster.addMaster()
  await cluster.moveSlot(slot, old, added, admit)
  await isHeard()
  await cluster.moveSlot(slot, added, old, admit)
  await isHeard()
  for (const { admin } of cluster.masters) await admin.call('CLUSTER', 'FORGET', added.id)
  await added.redis.kill()
  await isHeard()
  // the bus leaves it the next time that it looks at the cluster
  const deadline = performance.now() + 15_000
  while (!backend.health.ok) {
    assert.ok(performance.now() < deadline, String(backend.health.error))
    await delay(20)
  }
})

test(
  'a master that is replaced by its replica is found, also by those who know the old one alone',
  { timeout: 60_000 },
  async (t) => {
    await using cluster = await startRedisCluster({ withReplicas: true })
    const [master] = cluster.masters
    const [replica] = cluster.replicas
    assert.ok(master !== undefined && replica !== undefined)
    // the first name in the URL is of a node that has gone; the bus has another name to ask
    const bus = await openBus(t, cluster.hosts)
    await replica.admin.call('CLUSTER', 'FAILOVER')
    for (let version = 1; ; version += 1) {
      const slug = ['tea', 'coffee', 'water', 'milk', 'wine', 'beer', 'juice'].find((each) => slotOf(each) < 16_384 / 3) ?? ''
      assert.equal(await bus.admit(snapshot(slug, version)), true, 'a master that leaves in order refers to the next one')
      if (/^role:master/m.test(await replica.admin.info('replication')) && version > 20) break
      await delay(20)
    }
    await master.redis.kill()
    const late = await openBus(t, cluster.hosts)
    await late.announce({ id: 'late', phase: 'ready', sockets: 0 })
    assert.equal((await late.present()).length, 1)
  },
)
