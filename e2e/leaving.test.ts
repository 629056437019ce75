import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startChild, type Child } from './support/child.ts'
import { ADMIN_TOKEN, COOKIE_SECRET, createVoter, startCluster } from './support/cluster.ts'
import { freePort } from './support/free-port.ts'
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

const messages = (child: Child) => child.logs.map(({ msg }) => msg)

describe('a service that leaves', () => {
  test('tells its sockets, closes them with 1012, and exits 0', async (t) => {
    const cluster = await startCluster()
    t.after(() => cluster[Symbol.asyncDispose]())
    const [gateway] = cluster.gateways
    const [backend] = cluster.backends
    assert.ok(gateway !== undefined && backend !== undefined)
    await cluster.admin('POST', '/api/polls', POLL)
    const watchers = await Promise.all(Array.from({ length: 20 }, () => watch(gateway.url, ['cats-or-dogs'])))
    const exit = await gateway.child.stop()
    for (const watcher of watchers) {
      assert.equal((await watcher.closed).code, 1012)
      assert.equal(watcher.frames.at(-1)?.type, 'drain')
    }
    assert.deepEqual([exit.code, exit.signal], [0, null])
    assert.deepEqual(
      gateway.child.logs.filter(({ stage }) => stage !== undefined).map(({ stage }) => stage),
      [
        'unready',
        'notice',
        'refuse',
        'sockets',
        'finish',
        'release metrics',
        'release feed',
        'release Redis',
        'release loop monitor',
      ],
    )
    const { code } = await backend.child.stop()
    assert.equal(code, 0)
    assert.deepEqual(
      backend.child.logs.filter(({ stage }) => stage !== undefined).map(({ stage }) => stage),
      [
        'unready',
        'notice',
        'finish',
        'votes',
        'tallies',
        'release metrics',
        'release poller',
        'release Postgres',
        'release Redis',
        'release loop monitor',
      ],
    )
  })

  test('is unready at once, is alive all along, and serves on during the notice with Connection: close', async (t) => {
    const cluster = await startCluster({ gateways: 0 })
    t.after(() => cluster[Symbol.asyncDispose]())
    const gateway = await cluster.startGateway({ DRAIN_NOTICE_MS: '1500' })
    await cluster.admin('POST', '/api/polls', POLL)
    const before = await fetch(`${gateway.url}/ready`)
    assert.deepEqual([before.status, before.headers.get('connection')], [200, 'keep-alive'])
    gateway.child.send('SIGTERM')
    await gateway.child.logged(({ stage }) => stage === 'notice')

    const ready = await fetch(`${gateway.url}/ready`)
    assert.deepEqual([ready.status, ready.headers.get('connection')], [503, 'close'])
    const body = (await ready.json()) as { phase: string; drain: { stage: string } }
    assert.deepEqual([body.phase, body.drain.stage], ['draining', 'notice'])
    assert.equal((await fetch(`${gateway.url}/live`)).status, 200)
    assert.equal((await fetch(`${gateway.url}/health`)).status, 200)
    const voter = await createVoter(gateway.url, 'cats-or-dogs')
    const vote = await voter.vote(gateway.url, 'cats')
    assert.deepEqual([vote.status, vote.headers.get('connection')], [200, 'close'])
    const watcher = await watch(gateway.url, ['cats-or-dogs'])
    assert.equal((await watcher.closed).code, 1012, 'a socket opened during the notice is drained too')
    assert.equal((await gateway.child.exited).code, 0)
  })

  test('refuses new sockets with 503 and Retry-After once the notice is over', async (t) => {
    const cluster = await startCluster({ gateways: 0 })
    t.after(() => cluster[Symbol.asyncDispose]())
    const gateway = await cluster.startGateway({ DRAIN_SPREAD_MS: '2000' })
    await cluster.admin('POST', '/api/polls', POLL)
    const watcher = await watch(gateway.url, ['cats-or-dogs'])
    gateway.child.send('SIGTERM')
    await gateway.child.logged(({ stage }) => stage === 'sockets')
    await assert.rejects(watch(gateway.url, ['cats-or-dogs']), /503/)
    assert.equal((await fetch(`${gateway.url}/api/polls`)).status, 200, 'requests are still served')
    assert.equal((await watcher.closed).code, 1012)
    assert.equal((await gateway.child.exited).code, 0)
  })

  test('waits for a client that is slow to move, and sends one that takes no part away after the overlap', async (t) => {
    const cluster = await startCluster({ gateways: 0 })
    t.after(() => cluster[Symbol.asyncDispose]())
    // an overlap of 1 s, and 10 s of the deadline for the sockets
    const gateway = await cluster.startGateway({ DRAIN_SPREAD_MS: '2500', DRAIN_DEADLINE_MS: '15000' })
    await cluster.admin('POST', '/api/polls', POLL)
    const slow = await watch(gateway.url, ['cats-or-dogs'])
    const plain = new WebSocket(`${gateway.url}/ws?poll=cats-or-dogs`)
    const plainClosed = once(plain, 'close') as Promise<[CloseEvent]>
    await once(plain, 'open')
    gateway.child.send('SIGTERM')
    const drainFrame = await slow.until((frame) => frame.type === 'drain')
    assert.deepEqual(drainFrame, { type: 'drain', closeAfterMs: 1_000 })
    assert.equal((await plainClosed)[0].code, 1012)
    // as long as a client on an overloaded machine needs until its next socket has its first tally
    const moved = await Promise.race([slow.closed, delay(3_000, 'has moved')])
    assert.equal(moved, 'has moved', 'it was closed before it was elsewhere')
    slow.close()
    assert.equal((await gateway.child.exited).code, 0)
    const { clients, plain: without, left, closed } = await gateway.child.logged(({ msg }) => msg === 'the sockets have moved')
    assert.deepEqual({ clients, without, left, closed }, { clients: 2, without: 1, left: 1, closed: 0 })
  })

  test('is cut at the deadline by a request that never ends, and names the stage', async (t) => {
    // a backend that accepts and never answers
    const mute = createServer(() => {}).listen(0, '127.0.0.1')
    t.after(() => mute.close())
    const cluster = await startCluster({ backends: 0, gateways: 0 })
    t.after(() => cluster[Symbol.asyncDispose]())
    const backendUrl = `http://127.0.0.1:${(mute.address() as AddressInfo).port}`
    const gateway = await cluster.startGateway({ BACKEND_URL: backendUrl, DRAIN_DEADLINE_MS: '1500' })
    const stuck = assert.rejects(fetch(`${gateway.url}/api/polls`))
    await new Promise((resolve) => mute.once('connection', resolve))
    const exit = await gateway.child.stop()
    assert.equal(exit.code, 1)
    assert.ok(exit.tookMs < 2_500, `took ${exit.tookMs} ms`)
    assert.ok(messages(gateway.child).includes('stage "finish" stuck'))
    await stuck
  })

  test('exits 1 at once on a second signal', async (t) => {
    const cluster = await startCluster({ gateways: 0 })
    t.after(() => cluster[Symbol.asyncDispose]())
    const gateway = await cluster.startGateway({ DRAIN_NOTICE_MS: '60000', DRAIN_DEADLINE_MS: '90000' })
    gateway.child.send('SIGTERM')
    await gateway.child.logged(({ stage }) => stage === 'notice')
    const exit = await gateway.child.stop('SIGINT')
    assert.equal(exit.code, 1)
    assert.ok(exit.tookMs < 500, `took ${exit.tookMs} ms`)
  })

  test('leaves quickly when asked to before it was ready', async () => {
    const port = await freePort()
    await using child = startChild({
      entry: 'gateway/main.ts',
      env: { PORT: '0', METRICS_PORT: '0', REDIS_URL: `redis://127.0.0.1:${port}`, BACKEND_URL: 'http://127.0.0.1:1' },
    })
    await child.logged(({ msg }) => msg === 'cannot reach Redis yet')
    const exit = await child.stop()
    assert.equal(exit.code, 0)
    assert.ok(exit.tookMs < 1_000, `took ${exit.tookMs} ms`)
  })

  test('leaves within its deadline while Redis and Postgres are down', async (t) => {
    const [postgres, redis] = await Promise.all([startPostgres(), startRedis()])
    t.after(() => Promise.all([postgres.stop(), redis.stop()]))
    const cluster = await startCluster({ servers: { databaseUrl: postgres.url, redisUrl: redis.url } })
    t.after(() => cluster[Symbol.asyncDispose]())
    const [gateway, backend] = [cluster.gateways[0], cluster.backends[0]]
    assert.ok(gateway !== undefined && backend !== undefined)
    await cluster.admin('POST', '/api/polls', POLL)
    const watcher = await watch(gateway.url, ['cats-or-dogs'])
    await Promise.all([postgres.crash(), redis.kill()])
    await backend.child.logged(({ msg }) => msg === 'the database cannot be read')
    assert.equal((await fetch(`${gateway.url}/ready`)).status, 200, 'the gateway can still show the last tallies')
    assert.equal((await fetch(`${backend.url}/ready`)).status, 503, 'the backend can do nothing without Postgres')
    assert.equal((await fetch(`${backend.url}/health`)).status, 200, 'and is not to be killed for it')
    const exits = await Promise.all([gateway.child.stop(), backend.child.stop()])
    for (const { code, tookMs } of exits) {
      assert.ok(code === 0 || code === 1)
      assert.ok(tookMs < 6_000, `took ${tookMs} ms of 5000`)
    }
    assert.equal((await watcher.closed).code, 1012)
  })

  test('leaves within its deadline while Redis hangs', async (t) => {
    const redis = await startRedis()
    t.after(() => redis.stop())
    const postgres = await startPostgres()
    t.after(() => postgres.stop())
    const cluster = await startCluster({ servers: { databaseUrl: postgres.url, redisUrl: redis.url } })
    t.after(() => cluster[Symbol.asyncDispose]())
    await redis.pause()
    const exits = await Promise.all([...cluster.gateways, ...cluster.backends].map(({ child }) => child.stop()))
    await redis.resume()
    for (const { tookMs } of exits) assert.ok(tookMs < 6_000, `took ${tookMs} ms of 5000`)
  })
})

describe('a signal in the first moments of a start', () => {
  /** Runs before the program in its process. Says when somebody listens for signals, and how many files were loaded until then. */
  const PRELOAD = `data:text/javascript,${encodeURIComponent(`
    import { writeSync } from 'node:fs'
    import { registerHooks } from 'node:module'
    let files = 0
    registerHooks({ load: (url, context, next) => (files += url.startsWith('file:') ? 1 : 0, next(url, context)) })
    const onListener = (event) => {
      if (event !== 'SIGINT') return
      process.off('newListener', onListener)
      const line = JSON.stringify({ msg: 'somebody listens', files })
      queueMicrotask(() => writeSync(1, line + '\\n'))
    }
    process.on('newListener', onListener)
  `)}`
  const UNREACHABLE = {
    REDIS_URL: 'redis://127.0.0.1:1',
    BACKEND_URL: 'http://127.0.0.1:1',
    DATABASE_URL: 'postgres://127.0.0.1:1/x',
  }
  const SECRETS = { ADMIN_TOKEN, COOKIE_SECRET }

  for (const entry of ['gateway/main.ts', 'backend/main.ts', 'infra/standalone/main.ts']) {
    test(`ends ${entry} in order`, async (t) => {
      const dataDir = await mkdtemp(join(tmpdir(), 'livetally-early-'))
      t.after(() => rm(dataDir, { recursive: true, force: true }))
      for (const delayMs of [0, 0, 20, 80, 200, 500]) {
        await using child = startChild({
          entry,
          env: {
            PORT: '0',
            METRICS_PORT: '0',
            DATA_DIR: dataDir,
            ...UNREACHABLE,
            ...SECRETS,
            NODE_OPTIONS: `--import=${PRELOAD}`,
          },
        })
        const { files } = await child.logged(({ msg }) => msg === 'somebody listens')
        assert.equal(files, 2, 'it listens before it loads anything else')
        await delay(delayMs)
        const { code, signal } = await child.stop()
        const said = `after ${delayMs} ms: ${[...child.lines, child.stderr].join('\n')}`
        assert.equal(signal, null, said)
        // the standalone process gives itself 0.9 s, which a loaded machine may exceed
        const isLate = entry.startsWith('infra') && child.logs.some(({ outcome }) => outcome === 'stuck')
        assert.equal(code, isLate ? 1 : 0, said)
      }
    })
  }
})

describe('a service with a fault', () => {
  const faulty = (fault: string) => startChild({ entry: 'e2e/fixtures/faulty-service.ts', args: [fault] })

  test('exits 1 within the deadline when a stage hangs, names it, and runs the stage after', async () => {
    await using child = faulty('hangs')
    await child.logged(({ msg }) => msg === 'serving')
    const exit = await child.stop()
    assert.equal(exit.code, 1)
    assert.ok(exit.tookMs < 1_500, `took ${exit.tookMs} ms`)
    assert.ok(messages(child).includes('stage "hanging" stuck'))
    assert.ok(messages(child).includes('the stage after ran'))
  })

  for (const fault of ['throws', 'rejects']) {
    test(`drains and exits 1 when something ${fault} and nobody catches it`, async () => {
      await using child = faulty(fault)
      const exit = await child.exited
      assert.equal(exit.code, 1)
      assert.ok(messages(child).includes('shutdown requested by a fault that was not caught'))
      assert.ok(messages(child).includes('the stage after ran'))
    })
  }

  test('exits 1 when it cannot start, says why, and releases what it had', async () => {
    await using child = faulty('cannot-start')
    assert.equal((await child.exited).code, 1)
    assert.ok(messages(child).includes('cannot start: the cellar is flooded'))
    assert.ok(messages(child).includes('shutdown stage: release timer'))
  })

  test('exits 0 when nothing is wrong', async () => {
    await using child = faulty('nothing')
    await child.logged(({ msg }) => msg === 'serving')
    assert.equal((await child.stop()).code, 0)
  })
})
