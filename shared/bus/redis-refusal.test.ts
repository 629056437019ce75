import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { freePort } from '../../e2e/support/free-port.ts'
import { startRedisCluster } from '../../e2e/support/redis-cluster.ts'
import { ADMIN, LIVETALLY_LOGIN, secureRedis } from '../../e2e/support/redis-secured.ts'
import { startSentinels } from '../../e2e/support/redis-sentinel.ts'
import { startRedis } from '../../e2e/support/redis-service.ts'
import { CannotWork } from '../lifecycle/retry.ts'
import type { Log } from '../telemetry/log.ts'
import { connectRedisBus } from './redis-bus.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

const open = (url: string, ca?: string) =>
  connectRedisBus({ url, ca, namespace: 'livetally', log: silent, now: () => performance.now() })

async function refuses(url: string, says: RegExp, ca?: string, why?: string): Promise<void> {
  const refusal = await open(url, ca).then(
    async (bus) => await bus.close(),
    (error: unknown) => error,
  )
  assert.ok(refusal instanceof CannotWork, `${why}: ${String(refusal)}`)
  assert.match(refusal.message, says)
}

test('a cluster or a Sentinel under another form of URL is refused with the right one', { timeout: 60_000 }, async () => {
  await using cluster = await startRedisCluster()
  await refuses(`redis://127.0.0.1:${cluster.masters[0]?.port}`, /REDIS_URL must begin with redis\+cluster:\/\//)
  await using sentinels = await startSentinels()
  const [sentinel] = sentinels.sentinelPorts
  const [redis] = sentinels.servers
  await refuses(`redis://127.0.0.1:${sentinel}`, /Sentinel.*redis\+sentinel:\/\/host:26379\/name-of-the-master/)
  await refuses(`redis+cluster://127.0.0.1:${sentinel}`, /Sentinel.*redis\+sentinel:\/\//)
  await refuses(`redis+cluster://127.0.0.1:${redis.port}`, /no cluster: REDIS_URL must begin with redis:\/\//)
  await refuses(`redis+sentinel://127.0.0.1:${redis.port}/tallies`, /no Sentinel/)
  await refuses(`redis+sentinel://127.0.0.1:${sentinel}/votes`, /know no master of the name/)
})

test('a wrong password and a missing right are said as what they are', { timeout: 60_000 }, async (t) => {
  await using security = await secureRedis()
  const port = await freePort()
  await using redis = await startRedis({ port, args: security.args(port) })
  const at = `@localhost:${redis.port}`
  await refuses(`rediss://livetally:wrong${at}`, /does not take the user and password/, security.ca)
  await refuses(`rediss://localhost:${redis.port}`, /does not take the user and password/, security.ca)
  // often, since TLS then has a second error now and then, which must not end the process
  for (let times = 0; times < 20; times += 1) {
    await assert.rejects(open(`rediss://${LIVETALLY_LOGIN}${at}`), /self-signed certificate/)
  }
  const admin = new Redis({ port, host: 'localhost', tls: { ca: security.ca }, ...ADMIN })
  t.after(() => admin.disconnect())
  // every right of infra/redis/users.acl but those for the handshake, for taking leave and for clusters is needed, and its lack is said
  const list = await admin.acl('LIST')
  const rights = list.find((user) => user.includes('user livetally'))?.match(/\+[a-z|]+/g) ?? []
  const others = [
    '+hello',
    '+auth',
    '+quit',
    '+asking',
    '+cluster|slots',
    '+spublish',
    '+ssubscribe',
    '+sunsubscribe',
    '+unsubscribe',
  ]
  const needed = rights.filter((right) => !others.includes(right))
  assert.ok(needed.length >= 15, rights.join(' '))
  for (const right of needed) {
    await admin.acl('SETUSER', 'livetally', right.replace('+', '-'))
    await refuses(`rediss://${LIVETALLY_LOGIN}${at}`, /lacks a right/, security.ca, right)
    await admin.acl('SETUSER', 'livetally', right)
  }
  await admin.acl('SETUSER', 'livetally', 'resetchannels')
  await refuses(`rediss://${LIVETALLY_LOGIN}${at}`, /lacks a right/, security.ca)
})

test('a Redis that answers and does not publish shows in the health of the bus', { timeout: 60_000 }, async (t) => {
  await using redis = await startRedis()
  const bus = await open(redis.url)
  const admin = new Redis(redis.url)
  t.after(async () => {
    admin.disconnect()
    await bus.close()
  })
  const healthIs = async (ok: boolean) => {
    const deadline = performance.now() + 10_000
    while (bus.health.ok !== ok) {
      assert.ok(performance.now() < deadline, JSON.stringify(bus.health))
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
  await admin.acl('SETUSER', 'default', '-publish')
  await healthIs(false)
  assert.match(bus.health.error ?? '', /lacks a right/)
  await admin.acl('SETUSER', 'default', '+publish')
  await healthIs(true)
})
