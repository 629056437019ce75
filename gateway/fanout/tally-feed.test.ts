import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createManualClock } from '../../e2e/support/manual-clock.ts'
import { createMemoryBus } from '../../shared/bus/memory-bus.ts'
import type { Snapshot } from '../../shared/protocol/frames.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import { createHub } from './hub.ts'
import { createTallyFeed } from './tally-feed.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

function snapshot(version: number, epoch = 1): Snapshot {
  const poll = 'cats-or-dogs'
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
    tally: { type: 'tally', poll, epoch, version, total: version, at: '2026-01-01T00:00:00.000Z' },
  }
}

/** A bus on which subscriptions of some polls fail while they are among these. */
function failing(bus: ReturnType<typeof createMemoryBus>, slugs: Set<string>): typeof bus {
  return {
    ...bus,
    get health() {
      return bus.health
    },
    subscribe: async (slug, listener) => {
      if (slugs.has(slug)) throw new Error('NOPERM')
      return await bus.subscribe(slug, listener)
    },
  }
}

function createScene(find: () => Promise<Snapshot | undefined> = async () => undefined) {
  const ask = async () => {
    const found = await find()
    return found && { snapshot: found, etag: undefined }
  }
  const clock = createManualClock(1_000_000)
  const unheard = new Set<string>()
  const bus = failing(createMemoryBus({ now: clock.now }), unheard)
  const hub = createHub({ clock, sourceAt: () => feed.sourceAt, sourceAgeMs: () => feed.sourceAgeMs(), slowMs: 10_000 })
  const feed = createTallyFeed({ bus, hub, ask, clock, log: silent })
  const stop = new AbortController()
  const ended = feed.run(stop.signal)
  return { clock, bus, unheard, hub, feed, stop: () => (stop.abort(), ended) }
}

test('knows how long the source has been silent, however wrong its clock is', async () => {
  const { clock, bus, feed, stop } = createScene()
  await clock.advance(1_000)
  assert.equal(feed.sourceAgeMs(), 1_000, 'a source that was never heard has been silent since the start')
  for (const date of [5_000, 6_000, 7_000]) {
    await bus.heartbeat(date)
    await clock.advance(1_000)
    assert.equal(feed.sourceAgeMs(), 0)
  }
  await clock.advance(4_000)
  assert.equal(feed.sourceAgeMs(), 4_000)
  assert.deepEqual(feed.source, { ok: false, at: clock.now() - 4_000 })
  // a clock that steps back is a sign of life like any other
  await bus.heartbeat(1_000)
  await clock.advance(1_000)
  assert.equal(feed.sourceAgeMs(), 0)
  await stop()
})

test('shows what the bus lost on the way to it within a second', async () => {
  const { clock, bus, hub, feed, stop } = createScene()
  await bus.admit(snapshot(1))
  assert.equal(await feed.follow('cats-or-dogs'), 'following')
  // the message of this version does not arrive, since the gateway's subscription is gone
  await bus.close()
  await bus.admit(snapshot(2))
  await clock.advance(1_000)
  assert.equal(hub.snapshot('cats-or-dogs')?.tally.version, 2)
  await stop()
})

test('goes on in step when the wall clock is set back', async () => {
  const { clock, bus, hub, feed, stop } = createScene()
  await bus.admit(snapshot(1))
  await feed.follow('cats-or-dogs')
  clock.stepDate(-60_000)
  await bus.heartbeat(1)
  await bus.admit(snapshot(2))
  await clock.advance(1_000)
  assert.deepEqual([hub.snapshot('cats-or-dogs')?.tally.version, feed.sourceAgeMs()], [2, 0])
  await stop()
})

test('does not end a poll that was created again while a backend was asked about the one before it', async () => {
  const answer = Promise.withResolvers<undefined>()
  const { clock, bus, hub, feed, stop } = createScene(() => answer.promise)
  await bus.admit(snapshot(7))
  await feed.follow('cats-or-dogs')
  await bus.heartbeat(1)
  await bus.forget('cats-or-dogs', 1)
  await clock.advance(1_000)
  await bus.admit(snapshot(1, 2))
  answer.resolve(undefined)
  await clock.advance(1_000)
  assert.deepEqual([feed.isFollowing('cats-or-dogs'), hub.snapshot('cats-or-dogs')?.tally.epoch], [true, 2])
  await stop()
})

test('looks whether there is such a poll before it subscribes, once for all who ask at a time', async () => {
  let asked = 0
  const { bus, feed, stop } = createScene(async () => {
    asked += 1
    return undefined
  })
  let subscribed = 0
  const { subscribe } = bus
  bus.subscribe = (slug, listener) => {
    subscribed += 1
    return subscribe(slug, listener)
  }
  const crowd = Array.from({ length: 160 }, (_, index) => feed.follow(`nobody-knows-${index % 16}`))
  assert.deepEqual(new Set(await Promise.all(crowd)), new Set(['unknown']))
  assert.deepEqual([asked, subscribed], [16, 0])
  await bus.admit(snapshot(1))
  assert.equal(await feed.follow('cats-or-dogs'), 'following')
  assert.deepEqual([asked, subscribed], [16, 1])
  await stop()
})

test('misses no snapshot that is published between the look-up and the subscription', async () => {
  const { bus, hub, feed, stop } = createScene()
  await bus.admit(snapshot(1))
  const { subscribe } = bus
  bus.subscribe = async (slug, listener) => {
    await bus.admit(snapshot(2))
    return await subscribe(slug, listener)
  }
  assert.equal(await feed.follow('cats-or-dogs'), 'following')
  assert.equal(hub.snapshot('cats-or-dogs')?.tally.version, 2)
  await stop()
})

test('finds a poll that was created just now', async () => {
  let created: Snapshot | undefined
  const { hub, feed, stop } = createScene(async () => created)
  assert.equal(await feed.follow('cats-or-dogs'), 'unknown')
  created = snapshot(1)
  assert.equal(await feed.follow('cats-or-dogs'), 'following')
  assert.equal(hub.snapshot('cats-or-dogs')?.tally.version, 1)
  await stop()
})

test('finds a poll on the bus that is filled while no backend answers', async () => {
  const { clock, bus, hub, feed, stop } = createScene(() => new Promise(() => {}))
  const following = feed.follow('cats-or-dogs')
  await clock.advance(500)
  await bus.admit(snapshot(3))
  await clock.advance(1_000)
  assert.equal(await following, 'following')
  assert.equal(hub.snapshot('cats-or-dogs')?.tally.version, 3)
  await stop()
})

test('goes on hearing its source while a backend takes long to say whether a poll is gone', async () => {
  const answer = Promise.withResolvers<undefined>()
  let asked = 0
  const { clock, bus, feed, stop } = createScene(() => {
    asked += 1
    return answer.promise
  })
  await bus.admit(snapshot(7))
  await feed.follow('cats-or-dogs')
  await bus.heartbeat(1)
  await bus.forget('cats-or-dogs', 1)
  for (let second = 2; second < 8; second += 1) {
    await bus.heartbeat(second)
    await clock.advance(1_000)
    assert.equal(feed.sourceAgeMs(), 0)
  }
  assert.equal(asked, 1)
  answer.resolve(undefined)
  await stop()
})

test('reads what the bus keeps although a subscription fails', async () => {
  const { clock, bus, unheard, hub, feed, stop } = createScene()
  unheard.add('cats-or-dogs')
  await bus.admit(snapshot(1))
  assert.equal(await feed.follow('cats-or-dogs'), 'following')
  await bus.admit(snapshot(2))
  await clock.advance(1_000)
  assert.equal(hub.snapshot('cats-or-dogs')?.tally.version, 2)
  await stop()
})

test('keeps a poll that nobody watched for a while when somebody asks for it', async () => {
  const { clock, bus, feed, stop } = createScene()
  await bus.admit(snapshot(1))
  await feed.follow('cats-or-dogs')
  await clock.advance(29_500)
  await feed.follow('cats-or-dogs')
  await clock.advance(1_000)
  assert.ok(feed.isFollowing('cats-or-dogs'))
  await stop()
})

test('asks the backends for the polls that sockets follow while the bus is away, and is live', async () => {
  let known = 1
  let asked = 0
  const { clock, bus, hub, feed, stop } = createScene(async () => {
    asked += 1
    return snapshot(known)
  })
  await bus.admit(snapshot(1))
  await feed.follow('cats-or-dogs')
  hub.isWatched = (slug) => slug === 'cats-or-dogs'
  await bus.heartbeat(1)
  await clock.advance(1_000)
  assert.equal(asked, 0)
  const { latest } = bus
  bus.latest = async () => {
    throw new Error('it is away')
  }
  for (known = 2; known < 10; known += 1) {
    await clock.advance(1_000)
    assert.ok((hub.snapshot('cats-or-dogs')?.tally.version ?? 0) >= known - 1, 'at most a second behind')
    assert.ok(feed.sourceAgeMs() <= 2_000, `${feed.sourceAgeMs()} ms`)
  }
  assert.ok(asked >= 8 && asked <= 40, `asked ${asked} times`)
  bus.latest = latest
  await bus.heartbeat(2)
  await clock.advance(1_000)
  const before = asked
  await clock.advance(500)
  assert.equal(asked, before, 'it asks no more')
  await stop()
})

test('takes a sign of life that the bus kept from before for none, while the backends are asked, nor after they went', async () => {
  let [known, asked] = [1, 0]
  let areThere = true
  const { clock, bus, hub, feed, stop } = createScene(async () => {
    if (!areThere) throw new Error('no backend answers')
    asked += 1
    return snapshot(known)
  })
  await bus.admit(snapshot(1))
  await feed.follow('cats-or-dogs')
  hub.isWatched = (slug) => slug === 'cats-or-dogs'
  await bus.heartbeat(1)
  // the backends do not reach the bus from here on
  await clock.advance(3_000)
  for (known = 2; known < 10; known += 1) {
    const before = asked
    await clock.advance(1_000)
    assert.ok(asked > before, 'it goes on asking')
    assert.equal(hub.snapshot('cats-or-dogs')?.tally.version, known)
  }
  areThere = false
  await clock.advance(3_500)
  assert.equal(feed.source.ok, false)
  assert.ok(feed.sourceAgeMs() >= 3_000, `${feed.sourceAgeMs()} ms`)
  await stop()
})
