import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { freePort } from '../../e2e/support/free-port.ts'
import { startRedisCluster } from '../../e2e/support/redis-cluster.ts'
import { LIVETALLY_LOGIN, secureRedis } from '../../e2e/support/redis-secured.ts'
import { startSentinels } from '../../e2e/support/redis-sentinel.ts'
import { startRedis } from '../../e2e/support/redis-service.ts'
import { testRedis } from '../../e2e/support/test-redis.ts'
import type { Snapshot } from '../protocol/frames.ts'
import type { Log } from '../telemetry/log.ts'
import { createMemoryBus } from './memory-bus.ts'
import { connectRedisBus } from './redis-bus.ts'
import type { TallyBus } from './tally-bus.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

function snapshot(version: number, { epoch = 1, poll = 'cats-or-dogs' } = {}): Snapshot {
  return {
    poll: {
      type: 'poll',
      poll,
      question: 'Cats or dogs?',
      options: [],
      state: 'open',
      resultsVisible: true,
      opensAt: null,
      closesAt: null,
    },
    tally: { type: 'tally', poll, epoch, version, counts: { cats: version }, total: version, at: '2026-01-01T00:00:00.000Z' },
  }
}

/** Collects what a listener is called with, and waits for a number of them. */
function collector() {
  const received: string[] = []
  let look = () => {}
  return {
    received,
    listener: ({ tally }: Snapshot) => {
      received.push(`${tally.epoch}.${tally.version}`)
      look()
    },
    async count(n: number) {
      while (received.length < n) await new Promise<void>((resolve) => (look = resolve))
      return received
    },
  }
}

interface Kind {
  /** Opens the bus of one more process of an installation. */
  open(namespace: string): Promise<TallyBus>
  stop(): Promise<void>
}

function overRedis(url: string, stop: () => Promise<void>, ca?: string): Kind {
  return {
    open: async (namespace) => await connectRedisBus({ url, ca, namespace, log: silent, now: () => performance.now() }),
    stop,
  }
}

/** Every form of `REDIS_URL`, with the rights that infra/redis/users.acl gives where there is a user. */
const kinds: Record<string, () => Promise<Kind>> = {
  memory: async () => {
    const buses = new Map<string, TallyBus>()
    return {
      async open(namespace) {
        const bus = buses.get(namespace) ?? createMemoryBus({ now: () => performance.now() })
        buses.set(namespace, bus)
        return bus
      },
      stop: async () => {},
    }
  },
  redis: async () => {
    const redis = testRedis()
    return overRedis(redis.url, async () => {})
  },
  rediss: async () => {
    const security = await secureRedis()
    const port = await freePort()
    const redis = await startRedis({ port, args: security.args(port) })
    return overRedis(`rediss://${LIVETALLY_LOGIN}@localhost:${port}`, stopped(redis, security), security.ca)
  },
  'rediss+sentinel': async () => {
    const security = await secureRedis()
    const sentinels = await startSentinels({ security })
    const url = `rediss+sentinel://${LIVETALLY_LOGIN}@${sentinels.hosts}`
    return overRedis(url, stopped(sentinels, security), security.ca)
  },
  'rediss+cluster': async () => {
    const security = await secureRedis()
    const cluster = await startRedisCluster({ security })
    const url = `rediss+cluster://${LIVETALLY_LOGIN}@${cluster.hosts}`
    return overRedis(url, stopped(cluster, security), security.ca)
  },
  'redis+cluster without shard channels, as before Redis 7,': async () => {
    const lacks = ['SPUBLISH', 'SSUBSCRIBE', 'SUNSUBSCRIBE'].flatMap((command) => ['--rename-command', command, ''])
    const cluster = await startRedisCluster({ args: lacks })
    return overRedis(`redis+cluster://${cluster.hosts}`, stopped(cluster))
  },
}

function stopped(...services: readonly AsyncDisposable[]): () => Promise<void> {
  return async () => {
    for (const service of services) await service[Symbol.asyncDispose]()
  }
}

for (const [name, startKind] of Object.entries(kinds)) {
  describe(`the ${name} bus`, () => {
    let kind: Kind
    before(async () => (kind = await startKind()), { timeout: 60_000 })
    after(() => kind.stop())

    /** The bus of an installation of its own. */
    const start = async () => {
      const namespace = `livetally:${randomUUID()}`
      const opened: TallyBus[] = []
      const another = async () => {
        const bus = await kind.open(namespace)
        opened.push(bus)
        return bus
      }
      return { bus: await another(), another, close: async () => void (await Promise.all(opened.map((bus) => bus.close()))) }
    }

    test('keeps the newest snapshot of a poll and refuses what is not newer', async (t) => {
      const { bus, close } = await start()
      t.after(close)
      assert.equal(await bus.admit(snapshot(2)), true)
      assert.equal(await bus.admit(snapshot(2)), false, 'the same version again')
      assert.equal(await bus.admit(snapshot(1)), false, 'an older version')
      assert.equal(await bus.admit(snapshot(3)), true)
      assert.equal(await bus.admit(snapshot(1, { epoch: 2 })), true, 'a later epoch wins over a higher version')
      assert.equal(await bus.admit(snapshot(9)), false, 'an older epoch')
      const kept = await bus.latest(['cats-or-dogs', 'unknown'])
      assert.deepEqual([...kept.snapshots.keys()], ['cats-or-dogs'])
      assert.deepEqual(kept.snapshots.get('cats-or-dogs'), snapshot(1, { epoch: 2 }))
    })

    test('orders versions as numbers, up to the largest a number holds exactly', async (t) => {
      const { bus, close } = await start()
      t.after(close)
      assert.equal(await bus.admit(snapshot(9)), true)
      assert.equal(await bus.admit(snapshot(10)), true)
      assert.equal(await bus.admit(snapshot(Number.MAX_SAFE_INTEGER - 1)), true)
      assert.equal(await bus.admit(snapshot(Number.MAX_SAFE_INTEGER)), true)
    })

    test('publishes each version once, however many replicas admit it', async (t) => {
      const { bus, another, close } = await start()
      t.after(close)
      const replicas = [bus, await another(), await another()]
      const seen = collector()
      await (await another()).subscribe('cats-or-dogs', seen.listener)
      for (const version of [1, 2, 3]) await Promise.all(replicas.map((replica) => replica.admit(snapshot(version))))
      await bus.admit(snapshot(4))
      assert.deepEqual(await seen.count(4), ['1.1', '1.2', '1.3', '1.4'])
    })

    test('misses nothing between subscribing and reading', async (t) => {
      const { bus, another, close } = await start()
      t.after(close)
      await bus.admit(snapshot(1))
      const gateway = await another()
      const seen = collector()
      await gateway.subscribe('cats-or-dogs', seen.listener)
      await bus.admit(snapshot(2))
      const { snapshots } = await gateway.latest(['cats-or-dogs'])
      assert.equal(snapshots.get('cats-or-dogs')?.tally.version, 2)
      assert.deepEqual(await seen.count(1), ['1.2'])
    })

    test('calls a listener no more once it has unsubscribed, and others still', async (t) => {
      const { bus, close } = await start()
      t.after(close)
      const [left, stayed] = [collector(), collector()]
      const unsubscribe = await bus.subscribe('cats-or-dogs', left.listener)
      await bus.subscribe('cats-or-dogs', stayed.listener)
      await bus.admit(snapshot(1))
      await Promise.all([left.count(1), stayed.count(1)])
      unsubscribe()
      await bus.admit(snapshot(2))
      await stayed.count(2)
      assert.deepEqual(left.received, ['1.1'])
    })

    test('hears only the polls it asked for', async (t) => {
      const { bus, close } = await start()
      t.after(close)
      const seen = collector()
      await bus.subscribe('cats-or-dogs', seen.listener)
      await bus.admit(snapshot(7, { poll: 'tea-or-coffee' }))
      await bus.admit(snapshot(1))
      assert.deepEqual(await seen.count(1), ['1.1'])
    })

    test('forgets a poll that is gone, and takes one of the same name anew', async (t) => {
      const { bus, close } = await start()
      t.after(close)
      await bus.admit(snapshot(5))
      await bus.forget('cats-or-dogs', 0)
      assert.equal((await bus.latest(['cats-or-dogs'])).snapshots.size, 1, 'a poll of a later epoch stays')
      await bus.forget('cats-or-dogs', 1)
      assert.equal((await bus.latest(['cats-or-dogs'])).snapshots.size, 0)
      await bus.forget('cats-or-dogs', 1)
      assert.equal(await bus.admit(snapshot(6)), false, 'a backend that has not heard of it brings nothing back')
      assert.equal(await bus.admit(snapshot(1, { epoch: 2 })), true)
      await bus.forget('cats-or-dogs', 1)
      assert.equal((await bus.latest(['cats-or-dogs'])).snapshots.get('cats-or-dogs')?.tally.epoch, 2)
    })

    test('tells the place of what it keeps, and of what it was told to forget the last one of its epoch', async (t) => {
      const { bus, close } = await start()
      t.after(close)
      await bus.admit(snapshot(5))
      await bus.admit(snapshot(3, { poll: 'tea-or-coffee' }))
      await bus.forget('tea-or-coffee', 1)
      const places = await bus.keep(['cats-or-dogs', 'tea-or-coffee', 'unknown'])
      assert.deepEqual(
        [...places].map(([slug, { epoch, version }]) => [slug, epoch, version]),
        [
          ['cats-or-dogs', 1, 5],
          ['tea-or-coffee', 1, Number.MAX_SAFE_INTEGER],
        ],
      )
    })

    test('knows which gateways are here, as each last described itself', async (t) => {
      const { bus, another, close } = await start()
      t.after(close)
      assert.deepEqual(await bus.present(), [])
      await (await another()).announce({ id: 'a', phase: 'ready', sockets: 7 })
      await bus.announce({ id: 'b', phase: 'ready', sockets: 0 })
      await bus.announce({ id: 'b', phase: 'draining', sockets: 3 })
      assert.deepEqual(
        (await bus.present()).toSorted((one, other) => one.id.localeCompare(other.id)),
        [
          { id: 'a', phase: 'ready', sockets: 7 },
          { id: 'b', phase: 'draining', sockets: 3 },
        ],
      )
    })

    test('passes on when the database was last read, and says when it had forgotten', async (t) => {
      const { bus, close } = await start()
      t.after(close)
      assert.equal(await bus.heartbeat(1_000), false, 'nothing was remembered yet')
      assert.equal(await bus.heartbeat(2_000), true)
      assert.equal((await bus.latest([])).sourceAt, 2_000)
      assert.equal(bus.health.ok, true)
    })

    test('remembers a text for whoever asks, until it is given another', async (t) => {
      const { bus, close } = await start()
      t.after(close)
      assert.equal(await bus.remembered(), undefined)
      await bus.remember('a mark')
      await bus.remember('a later mark')
      assert.equal(await bus.remembered(), 'a later mark')
    })
  })
}
