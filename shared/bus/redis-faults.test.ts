import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'node:test'
import { Redis } from 'ioredis'
import { openFaultyLink, type FaultyLink } from '../../e2e/support/faulty-link.ts'
import { startRedisCluster } from '../../e2e/support/redis-cluster.ts'
import { startSentinels } from '../../e2e/support/redis-sentinel.ts'
import { startRedis, type RedisService } from '../../e2e/support/redis-service.ts'
import type { Snapshot } from '../protocol/frames.ts'
import type { Log } from '../telemetry/log.ts'
import { connectRedisBus } from './redis-bus.ts'
import type { TallyBus } from './tally-bus.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

/** Every promise of the bus settles within this, ms: its own bound of 2 s, and what a loaded machine adds. */
const SETTLES_MS = 5_000

let version = 0
function nextSnapshot(): Snapshot {
  version += 1
  return {
    poll: {
      type: 'poll',
      poll: 'cats-or-dogs',
      question: 'Cats or dogs?',
      options: [],
      state: 'open',
      resultsVisible: true,
      opensAt: null,
      closesAt: null,
    },
    tally: { type: 'tally', poll: 'cats-or-dogs', epoch: 1, version, total: version, at: '2026-01-01T00:00:00.000Z' },
  }
}

/** Every call of the bus that another machine answers. */
const CALLS: Record<string, (bus: TallyBus) => Promise<unknown>> = {
  admit: (bus) => bus.admit(nextSnapshot()),
  forget: (bus) => bus.forget('tea-or-coffee', 1),
  heartbeat: (bus) => bus.heartbeat(1),
  keep: (bus) => bus.keep(['cats-or-dogs']),
  latest: (bus) => bus.latest(['cats-or-dogs']),
  subscribe: (bus) => bus.subscribe(`poll-${(version += 1)}`, () => {}),
  remember: (bus) => bus.remember('a mark'),
  remembered: (bus) => bus.remembered(),
  announce: (bus) => bus.announce({ id: 'a', phase: 'ready', sockets: 0 }),
  present: (bus) => bus.present(),
}

/** Servers that a bus reaches over links. */
interface Scene extends AsyncDisposable {
  readonly url: string
  /** Of each server at which something may be published or kept. */
  readonly servers: readonly RedisService[]
  /** The next reply of each server is lost. */
  loseReplies(): void
}

/** Every form of `REDIS_URL`. */
const FORMS: Record<string, () => Promise<Scene>> = {
  'one Redis': () =>
    overLinks(async (announce) => {
      const redis = await startRedis()
      const port = await announce(redis.port)
      return { url: `redis://127.0.0.1:${port}`, servers: [redis], [Symbol.asyncDispose]: () => redis.stop() }
    }),
  'a Redis with Sentinels': () =>
    overLinks(async (announce) => {
      // they wait: a failover has tests of its own
      const sentinels = await startSentinels({ announce, downAfterMs: 60_000 })
      const stop = () => sentinels[Symbol.asyncDispose]()
      return { url: `redis+sentinel://${sentinels.hosts}`, servers: sentinels.servers, [Symbol.asyncDispose]: stop }
    }),
  'a cluster': () =>
    overLinks(async (announce) => {
      const cluster = await startRedisCluster({ announce })
      const servers = cluster.masters.map(({ redis }) => redis)
      return { url: `redis+cluster://${cluster.hosts}`, servers, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() }
    }),
}

async function overLinks(start: (announce: (port: number) => Promise<number>) => Promise<Omit<Scene, 'loseReplies'>>) {
  const links: FaultyLink[] = []
  const scene = await start(async (port) => {
    const link = await openFaultyLink(port)
    links.push(link)
    return link.port
  })
  return {
    ...scene,
    loseReplies: () => {
      for (const link of links) link.loseReply()
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(links.map((link) => link[Symbol.asyncDispose]()))
      await scene[Symbol.asyncDispose]()
    },
  }
}

async function open(url: string) {
  return await connectRedisBus({
    url,
    namespace: 'faults',
    log: silent,
    now: () => performance.now(),
  })
}

/** Resolves when the promise settles either way; rejects when it has not within `SETTLES_MS`. */
async function settles(what: string, work: Promise<unknown>): Promise<void> {
  const timer = new AbortController()
  const late = delay(SETTLES_MS, 'late', { signal: timer.signal })
  late.catch(() => {})
  const first = await Promise.race([
    work.then(
      () => 'settled',
      () => 'settled',
    ),
    late,
  ])
  timer.abort()
  assert.equal(first, 'settled', `${what} did not settle`)
}

/** Calls until it works, as the poller does. */
async function untilItWorks(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now()
  for (;;) {
    try {
      await work()
      return performance.now() - startedAt
    } catch {
      assert.ok(performance.now() - startedAt < SETTLES_MS, 'it works again')
      await delay(20)
    }
  }
}

for (const [form, start] of Object.entries(FORMS)) {
  test(
    `${form}: a lost reply ends in an error, whichever call it was for, and the next call works`,
    { timeout: 120_000 },
    async () => {
      await using scene = await start()
      for (const [name, call] of Object.entries(CALLS)) {
        const bus = await open(scene.url)
        scene.loseReplies()
        await settles(name, call(bus))
        await settles(
          `${name} again`,
          untilItWorks(() => call(bus)),
        )
        await bus.close()
      }
    },
  )

  test(`${form}: a lost reply is noticed although other commands keep coming`, { timeout: 60_000 }, async () => {
    await using scene = await start()
    const bus = await open(scene.url)
    await bus.admit(nextSnapshot())
    scene.loseReplies()
    const startedAt = performance.now()
    // each command brings the one before it an answer in time, but not its own
    const isInStep = async () => {
      const isAdmitted = await bus.admit(nextSnapshot())
      const kept = await bus.keep(['cats-or-dogs'])
      return isAdmitted && kept.get('cats-or-dogs')?.version === version
    }
    for (let inStep = 0; inStep < 20;) {
      inStep = (await isInStep().catch(() => false)) ? inStep + 1 : 0
      assert.ok(performance.now() - startedAt < 2 * SETTLES_MS, 'it is in step again')
      await delay(20)
    }
    await bus.close()
  })

  test(
    `${form}: that it hangs leaves no call without an end, and the bus works when it answers again`,
    { timeout: 60_000 },
    async () => {
      await using scene = await start()
      const bus = await open(scene.url)
      const heard = Promise.withResolvers<void>()
      await bus.subscribe('cats-or-dogs', () => heard.resolve())
      await Promise.all(scene.servers.map((redis) => redis.pause()))
      const calls = Object.entries(CALLS).map(([name, call]) => settles(name, call(bus)))
      await Promise.all(calls)
      await delay(3_000) // long enough for the silent connections to be closed
      await Promise.all(scene.servers.map((redis) => redis.resume()))
      await untilItWorks(() => bus.admit(nextSnapshot()))
      await settles('the subscription', heardAgain(bus, heard.promise))
      await bus.close()
    },
  )
}

test('a hundred kills of its connections leave the bus working', { timeout: 60_000 }, async () => {
  await using redis = await startRedis()
  const bus = await open(redis.url)
  const heard = Promise.withResolvers<void>()
  await bus.subscribe('cats-or-dogs', () => heard.resolve())
  const admin = new Redis(redis.url)
  let killing = true
  const calling = (async () => {
    while (killing) {
      await settles('heartbeat', bus.heartbeat(1))
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  for (let kills = 0; kills < 100; kills += 1) {
    await admin.call('CLIENT', 'KILL', 'TYPE', kills % 2 === 0 ? 'normal' : 'pubsub', 'SKIPME', 'yes')
    await delay(Math.random() * 40)
  }
  killing = false
  await calling
  await settles('the subscription', heardAgain(bus, heard.promise))
  await bus.close()
  admin.disconnect()
})

test(
  'a master that is made a replica in place is left, and the next one at its address is found',
  { timeout: 60_000 },
  async (t) => {
    await using one = await startRedis()
    await using other = await startRedis()
    let target = one.port
    const sockets = new Set<Socket>()
    // as a name does that leads to whoever is the master, and does not cut the connections to who was
    const name = createServer((near) => {
      const far = connect(target, '127.0.0.1')
      for (const socket of [near, far]) sockets.add(socket.on('error', () => {}))
      near.pipe(far).pipe(near)
    })
    name.listen(0, '127.0.0.1')
    await once(name, 'listening')
    const { port } = name.address() as AddressInfo
    const bus = await open(`redis://127.0.0.1:${port}`)
    const admin = new Redis(one.url)
    t.after(async () => {
      admin.disconnect()
      await bus.close()
      for (const socket of sockets) socket.destroy()
      name.close()
    })
    const heard = Promise.withResolvers<void>()
    await bus.subscribe('cats-or-dogs', () => heard.resolve())
    target = other.port
    await admin.call('REPLICAOF', '127.0.0.1', String(other.port))
    const tookMs = await untilItWorks(() => bus.admit(nextSnapshot()))
    assert.ok(tookMs <= 2_000, `${tookMs} ms`)
    await settles('the subscription', heardAgain(bus, heard.promise))
    await untilItWorks(async () => assert.ok(bus.health.ok))
  },
)

test('closing takes no longer than a moment when Redis does not answer', async () => {
  await using redis = await startRedis()
  const bus = await open(redis.url)
  await redis.pause()
  const startedAt = performance.now()
  await bus.close()
  await redis.resume()
  assert.ok(performance.now() - startedAt < 1_500, `${performance.now() - startedAt} ms`)
})

/** Admits snapshot after snapshot until the subscription hears one. */
async function heardAgain(bus: TallyBus, heard: Promise<void>): Promise<void> {
  let done = false
  void heard.then(() => (done = true))
  while (!done) {
    await bus.admit(nextSnapshot()).catch(() => {})
    await delay(20)
  }
}
