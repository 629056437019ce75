import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { systemClock } from '../../shared/lifecycle/clock.ts'
import { createMemoryBus } from '../../shared/bus/memory-bus.ts'
import type { Snapshot } from '../../shared/protocol/frames.ts'
import { createTestLog } from '../../e2e/support/databases-under-test.ts'
import { type PollerOptions, createPoller } from './poller.ts'

const snapshot = (slug: string, version: number): Snapshot => ({
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
  tally: { type: 'tally', poll: slug, epoch: 1, version, counts: {}, total: version, at: new Date(version).toISOString() },
})

/** A database that holds one version per poll, and a bus that records what it is offered and when. */
function createScene() {
  const versions = new Map<string, number>()
  const unread = new Set<string>()
  const read = new Map<string, Snapshot>()
  const offered: { slug: string; version: number; at: number }[] = []
  let heard: (() => void) | undefined
  const store = {
    reads: 0,
    fault: undefined as Error | undefined,
    readChanges: async () => {
      store.reads++
      if (store.fault !== undefined) throw store.fault
      const changed = [...unread].map((slug) => snapshot(slug, versions.get(slug) ?? 0))
      for (const news of changed) read.set(news.tally.poll, news)
      unread.clear()
      return changed
    },
    removed: new Map<string, number>(),
    takeRemoved: () => {
      const taken = store.removed
      store.removed = new Map()
      return taken
    },
    known: () => [...read.values()],
  }
  const bus = {
    fault: undefined as Error | undefined,
    remembers: true,
    beats: [] as number[],
    /** Never answers while it is set. */
    isHanging: false,
    kept: new Map<string, Snapshot['tally']>(),
    keep: async (slugs: readonly string[]) => {
      if (bus.fault !== undefined) throw bus.fault
      return new Map(slugs.flatMap((slug) => (bus.kept.has(slug) ? [[slug, bus.kept.get(slug)!] as const] : [])))
    },
    admit: async ({ tally }: Snapshot) => {
      if (bus.isHanging) await new Promise(() => {})
      if (bus.fault !== undefined) throw bus.fault
      bus.kept.set(tally.poll, tally)
      offered.push({ slug: tally.poll, version: tally.version, at: Date.now() })
      heard?.()
      return true
    },
    forgotten: [] as string[],
    forget: async (slug: string, epoch: number) => {
      if (bus.fault !== undefined) throw bus.fault
      bus.forgotten.push(`${slug} ${epoch}`)
      heard?.()
    },
    marks: [] as string[],
    remember: async (mark: string) => {
      bus.marks.push(mark)
      heard?.()
    },
    heartbeat: async (at: number) => {
      if (bus.fault !== undefined) throw bus.fault
      bus.beats.push(at)
      heard?.()
      const remembered = bus.remembers
      bus.remembers = true
      return remembered
    },
  }
  return {
    store,
    bus,
    offered,
    log: createTestLog(),
    change: (slug: string) => {
      versions.set(slug, (versions.get(slug) ?? 0) + 1)
      unread.add(slug)
    },
    latest: (slug: string) => versions.get(slug) ?? 0,
    versions: (slug: string) => offered.filter((offer) => offer.slug === slug).map((offer) => offer.version),
    /** Resolves when the condition holds, which is checked whenever the bus is called. */
    until: async (condition: () => boolean) => {
      while (!condition()) await new Promise<void>((resolve) => (heard = resolve))
    },
  }
}

type Scene = ReturnType<typeof createScene>

async function running(
  scene: Scene,
  work: (poller: ReturnType<typeof createPoller>) => Promise<void>,
  options: Partial<PollerOptions> = {},
) {
  const poller = createPoller({ ...scene, clock: systemClock, ...options })
  const stop = new AbortController()
  const run = poller.run(stop.signal)
  try {
    await work(poller)
  } finally {
    stop.abort()
    await run
  }
}

describe('the poller', { timeout: 60_000 }, () => {
  test('has the bus forget a removed poll, offers nothing of it any more, and tries again when the bus fails', async () => {
    const scene = createScene()
    scene.change('gone')
    await running(scene, async () => {
      await scene.until(() => scene.offered.length === 1)
      scene.bus.fault = new Error('Redis is away')
      scene.change('gone')
      const { reads } = scene.store
      while (scene.store.reads < reads + 2) await new Promise((resolve) => setImmediate(resolve))
      scene.store.removed.set('gone', 3)
      while (scene.store.removed.size > 0) await new Promise((resolve) => setImmediate(resolve))
      scene.bus.fault = undefined
      await scene.until(() => scene.bus.forgotten.length > 0)
    })
    assert.deepEqual(scene.bus.forgotten, ['gone 3'])
    assert.deepEqual(scene.versions('gone'), [1])
  })

  test('offers what changed once, and idle polls never', async () => {
    const scene = createScene()
    scene.change('quiet')
    await running(scene, async () => {
      await scene.until(() => scene.offered.length === 1)
      scene.change('busy')
      await scene.until(() => scene.offered.length === 2)
    })
    assert.deepEqual(
      scene.offered.map(({ slug, version }) => [slug, version]),
      [
        ['quiet', 1],
        ['busy', 1],
      ],
    )
  })

  test('reads at once when woken, without waiting for the interval', async () => {
    const scene = createScene()
    await running(
      scene,
      async (poller) => {
        await scene.until(() => scene.bus.beats.length > 0)
        scene.change('busy')
        const startedAt = Date.now()
        poller.wake()
        await scene.until(() => scene.offered.length === 1)
        assert.ok(Date.now() - startedAt < 5_000)
      },
      { intervalMs: 60_000 },
    )
  })

  test('publishes a poll that changes all the time 20 times a second, the first and the last state included', async () => {
    const scene = createScene()
    await running(scene, async (poller) => {
      scene.change('busy')
      poller.wake()
      await scene.until(() => scene.offered.length === 1)
      const startedAt = Date.now()
      while (Date.now() - startedAt < 600) {
        scene.change('busy')
        poller.wake()
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      const last = scene.latest('busy')
      await scene.until(() => scene.versions('busy').at(-1) === last)
    })
    const [first] = scene.offered
    const lasting = (scene.offered.at(-1)?.at ?? 0) - (first?.at ?? 0)
    assert.ok(scene.offered.length <= lasting / 50 + 2, `${scene.offered.length} publications in ${lasting} ms`)
    assert.ok(scene.offered.length > 5)
    assert.equal(first?.version, 1)
    for (const [i, { at }] of scene.offered.entries()) {
      // the last one may be what a stopping poller publishes, which waits for no interval
      const before = scene.offered[i - 1]
      if (before !== undefined && i < scene.offered.length - 1) assert.ok(at - before.at >= 49, `${at - before.at} ms apart`)
    }
  })

  test('reads and publishes once more when it is told to stop', async () => {
    const scene = createScene()
    await running(
      scene,
      async () => {
        await scene.until(() => scene.bus.beats.length > 0)
        scene.change('busy')
      },
      { intervalMs: 60_000 },
    )
    assert.deepEqual(scene.versions('busy'), [1])
  })

  test('fills a bus that has forgotten everything', async () => {
    const scene = createScene()
    scene.change('one')
    scene.change('two')
    await running(scene, async () => {
      await scene.until(() => scene.offered.length === 2)
      scene.bus.remembers = false
      scene.bus.kept.clear()
      await scene.until(() => scene.offered.length === 4)
    })
    assert.deepEqual(
      [scene.versions('one'), scene.versions('two')],
      [
        [1, 1],
        [1, 1],
      ],
    )
  })

  test('offers again what a bus keeps in an older version than it was given, within five seconds', async () => {
    const scene = createScene()
    scene.change('one')
    scene.change('two')
    await running(scene, async () => {
      await scene.until(() => scene.offered.length === 2)
      const before = scene.bus.kept.get('one')
      scene.change('one')
      await scene.until(() => scene.versions('one').length === 2)
      const startedAt = performance.now()
      // as a replica does that is promoted without the last second, and remembers the source
      if (before !== undefined) scene.bus.kept.set('one', before)
      await scene.until(() => scene.versions('one').length === 3)
      assert.ok(performance.now() - startedAt < 5_000)
    })
    assert.deepEqual([scene.versions('one'), scene.versions('two')], [[1, 2, 2], [1]])
  })

  test('publishes the tally of one poll in time while thousands are compared and offered', async () => {
    const scene = createScene()
    for (let n = 0; n < 5_000; n += 1) scene.change(`poll-${n}`)
    await running(scene, async (poller) => {
      await scene.until(() => scene.offered.length >= 1_000)
      scene.change('busy')
      poller.wake()
      await scene.until(() => scene.offered.some(({ slug }) => slug === 'busy'))
      assert.ok(poller.publishing.ok)
      assert.ok(scene.offered.length < 5_000, `it was the ${scene.offered.length}th`)
      await scene.until(() => scene.offered.length === 5_001)
    })
  })

  test('begins a stage again that hangs, says so, counts it, and publishes what changed meanwhile', async () => {
    const scene = createScene()
    const stuck: string[] = []
    await running(
      scene,
      async (poller) => {
        await scene.until(() => scene.bus.beats.length > 0)
        scene.bus.isHanging = true
        scene.change('busy')
        while (stuck.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
        assert.equal(poller.publishing.ok, false)
        assert.match(poller.publishing.error ?? '', /not answered within 3000 ms/)
        scene.change('busy')
        scene.bus.isHanging = false
        await scene.until(() => scene.versions('busy').includes(2))
        while (!poller.publishing.ok) await new Promise((resolve) => setTimeout(resolve, 10))
      },
      { onStuck: (stage) => stuck.push(stage) },
    )
    assert.deepEqual(stuck, ['publish'])
    assert.deepEqual(scene.log.lines, ['tallies cannot be published', 'tallies are published again'])
  })

  test('goes on in step when the wall clock is set back', async () => {
    const scene = createScene()
    let aheadMs = 0
    const clock = { now: systemClock.now, date: () => systemClock.date() + aheadMs }
    await running(
      scene,
      async () => {
        await scene.until(() => scene.bus.beats.length > 0)
        aheadMs = -15_000
        const startedAt = performance.now()
        scene.change('busy')
        await scene.until(() => scene.offered.length === 1)
        await scene.until(() => scene.bus.beats.length > 1)
        assert.ok(performance.now() - startedAt < 5_000)
      },
      { clock },
    )
  })

  test('does not wait for a bus that is away when it is told to stop', async () => {
    const scene = createScene()
    let stoppedAt = 0
    await running(scene, async () => {
      await scene.until(() => scene.bus.beats.length > 0)
      scene.bus.fault = new Error('no route')
      scene.change('busy')
      while (scene.log.lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      stoppedAt = performance.now()
    })
    assert.ok(performance.now() - stoppedAt < 1_000)
  })

  test('logs once that the bus does not answer, and publishes the newest state when it does again', async () => {
    const scene = createScene()
    await running(scene, async () => {
      await scene.until(() => scene.bus.beats.length > 0)
      scene.bus.fault = new Error('no route')
      for (let i = 0; i < 5; i++) {
        scene.change('busy')
        const { reads } = scene.store
        while (scene.store.reads < reads + 2) await new Promise((resolve) => setTimeout(resolve, 5))
      }
      scene.bus.fault = undefined
      await scene.until(() => scene.offered.length > 0)
    })
    assert.deepEqual(scene.versions('busy'), [5])
    assert.deepEqual(scene.log.lines, ['tallies cannot be published', 'tallies are published again'])
  })

  test('has the bus remember how far the database was seen, with each sign of life', async () => {
    const scene = createScene()
    let mark = 'early'
    await running(
      scene,
      async () => {
        await scene.until(() => scene.bus.marks.length > 0)
        mark = 'late'
        await scene.until(() => scene.bus.marks.length > 1)
      },
      { mark: () => mark },
    )
    assert.deepEqual([scene.bus.marks[0], scene.bus.marks.at(-1)], ['early', 'late'])
  })

  test('neither beats nor fails while the database is away, says so once, and goes on after it', async () => {
    const scene = createScene()
    scene.store.fault = new Error('connection refused')
    await running(scene, async (poller) => {
      while (scene.store.reads < 3) {
        poller.wake()
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      assert.deepEqual([poller.reading.ok, poller.reading.at], [false, undefined])
      assert.match(poller.reading.error ?? '', /refused/)
      assert.deepEqual(scene.bus.beats, [])
      scene.change('busy')
      scene.store.fault = undefined
      await scene.until(() => scene.offered.length === 1)
      assert.ok(poller.reading.ok)
    })
    assert.deepEqual(scene.log.lines, ['the database cannot be read', 'the database can be read again'])
  })

  test('makes two replicas publish each version once', async () => {
    const scenes = [createScene(), createScene()]
    const bus = createMemoryBus({ now: Date.now })
    const published: number[] = []
    await bus.subscribe('busy', ({ tally }) => published.push(tally.version))
    const [one, two] = scenes
    assert.ok(one !== undefined && two !== undefined)
    await running(
      one,
      async (first) => {
        await running(
          two,
          async (second) => {
            for (let version = 1; version <= 4; version++) {
              for (const scene of scenes) scene.change('busy')
              first.wake()
              second.wake()
              while (published.length < version) await new Promise((resolve) => setTimeout(resolve, 5))
            }
          },
          { bus },
        )
      },
      { bus },
    )
    assert.deepEqual(published, [1, 2, 3, 4])
  })
})
