import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { describe, test } from 'node:test'
import type { WebSocket } from 'ws'
import type { Frame, Snapshot } from '../shared/protocol/frames.ts'
import { createManualClock } from '../shared/lifecycle/manual-clock.ts'
import { Connection } from './connection.ts'
import { sayGoodbye } from './goodbye.ts'
import { createHub } from './hub.ts'

/** Enough of a `ws` socket: it remembers what was written, and when. */
class FakeSocket extends EventEmitter {
  readonly OPEN = 1
  readyState = 1
  readonly sent: { frame: Frame; at: number }[] = []
  pings = 0
  closedWith: { code: number; at: number } | undefined
  terminated = false
  readonly #now: () => number
  constructor(now: () => number) {
    super()
    this.#now = now
  }
  send(data: string) {
    this.sent.push({ frame: JSON.parse(data) as Frame, at: this.#now() })
  }
  ping() {
    this.pings += 1
  }
  close(code: number) {
    this.readyState = 2
    this.closedWith ??= { code, at: this.#now() }
  }
  terminate() {
    this.readyState = 3
    this.terminated = true
  }
}

function setup() {
  const clock = createManualClock(1_000_000)
  let sourceAt: number | undefined = 1_000_000
  const hub = createHub({ clock, sourceAt: () => sourceAt })
  const join = (polls = ['p']) => {
    const socket = new FakeSocket(clock.now)
    const connection = new Connection({ socket: socket as unknown as WebSocket, polls, now: clock.now() })
    hub.add(connection)
    return {
      socket,
      connection,
      tallies: () => socket.sent.flatMap(({ frame }) => (frame.type === 'tally' ? frame.version : [])),
    }
  }
  return { clock, hub, join, setSourceAt: (at: number | undefined) => (sourceAt = at) }
}

interface Change {
  readonly poll?: string
  readonly state?: 'open' | 'closed'
  readonly epoch?: number
}

function snapshot(version: number, { poll = 'p', state = 'open', epoch = 1 }: Change = {}): Snapshot {
  return {
    poll: { type: 'poll', poll, question: '?', options: [], state, resultsVisible: true, opensAt: null, closesAt: null },
    tally: { type: 'tally', poll, epoch, version, counts: {}, total: version, at: '2026-01-01T00:00:00.000Z' },
  }
}

describe('the hub', () => {
  test('sends a newcomer the definition and the tally of each poll it follows', async () => {
    const { hub, join } = setup()
    hub.apply(snapshot(3))
    hub.apply(snapshot(8, { poll: 'q' }))
    const { socket } = join(['p', 'q', 'unknown'])
    assert.deepEqual(
      socket.sent.map(({ frame }) => [frame.type, 'poll' in frame && frame.poll]),
      [
        ['poll', 'p'],
        ['tally', 'p'],
        ['poll', 'q'],
        ['tally', 'q'],
      ],
    )
  })

  test('drops what is not newer, in whatever order it comes', async () => {
    const { clock, hub, join } = setup()
    const { tallies } = join()
    for (const [epoch, version] of [
      [1, 5],
      [1, 5],
      [1, 4],
      [2, 1],
      [1, 9],
    ] as const) {
      hub.apply(snapshot(version, { epoch }))
      await clock.advance(100)
    }
    assert.deepEqual(tallies(), [5, 1])
  })

  test('sends the first change at once, at most 20 a second, and the last one always', async () => {
    const { clock, hub, join } = setup()
    const { socket, tallies } = join()
    await clock.advance(1_000)
    const startedAt = clock.now()
    for (let version = 1; version <= 200; version += 1) {
      hub.apply(snapshot(version))
      await clock.advance(5)
    }
    await clock.advance(100)
    assert.equal(tallies()[0], 1)
    assert.equal(socket.sent.find(({ frame }) => frame.type === 'tally')?.at, startedAt)
    assert.equal(tallies().at(-1), 200)
    assert.ok(tallies().length <= 22, `${tallies().length} tallies in 1.1 s`)
  })

  test('sends the definition only when it changed', async () => {
    const { clock, hub, join } = setup()
    const { socket } = join()
    for (const [version, state] of [
      [1, 'open'],
      [2, 'open'],
      [3, 'closed'],
      [4, 'closed'],
    ] as const) {
      hub.apply(snapshot(version, { state }))
      await clock.advance(100)
    }
    assert.deepEqual(
      socket.sent.map(({ frame }) => frame.type),
      ['poll', 'tally', 'tally', 'poll', 'tally', 'tally'],
    )
  })

  test('says alive after 15 s of silence, with when the database was last read, and not before', async () => {
    const { clock, hub, join, setSourceAt } = setup()
    const { socket } = join()
    hub.apply(snapshot(1))
    for (let second = 0; second < 14; second += 1) {
      await clock.advance(1_000)
      hub.tick()
    }
    assert.ok(!socket.sent.some(({ frame }) => frame.type === 'alive'))
    setSourceAt(1_013_000)
    await clock.advance(1_000)
    hub.tick()
    assert.deepEqual(socket.sent.at(-1)?.frame, { type: 'alive', at: new Date(1_013_000).toISOString() })
  })

  test('cuts a socket that does not answer a ping', async () => {
    const { clock, hub, join } = setup()
    const [mute, answering] = [join().socket, join().socket]
    for (let second = 0; second < 55; second += 1) {
      await clock.advance(1_000)
      hub.tick()
      if (answering.pings > 0) answering.emit('pong')
    }
    assert.equal(mute.terminated, true)
    assert.equal(answering.terminated, false)
  })
})

describe('the goodbye', () => {
  test('tells each socket, closes it with 1012 an overlap later, and takes no longer than the spread', async () => {
    const { clock, hub, join } = setup()
    const joined = Array.from({ length: 100 }, () => join())
    const startedAt = clock.now()
    let over = false
    for (const { socket, connection } of joined) {
      const close = socket.close.bind(socket)
      socket.close = (code) => {
        close(code)
        hub.remove(connection)
      }
    }
    void sayGoodbye({ hub, spreadMs: 10_000, clock, random: () => 0.5, signal: new AbortController().signal }).then(
      () => (over = true),
    )
    await clock.advance(10_050)
    assert.equal(over, true)
    for (const { socket } of joined) {
      const told = socket.sent.find(({ frame }) => frame.type === 'drain')
      assert.deepEqual(told?.frame, { type: 'drain', closeAfterMs: 4_000 })
      assert.ok(told !== undefined && socket.closedWith !== undefined)
      assert.equal(socket.closedWith.code, 1012)
      const overlapMs = socket.closedWith.at - told.at
      assert.ok(overlapMs >= 3_990 && overlapMs <= 4_010, `closed ${overlapMs} ms after it was told`)
      assert.ok(socket.closedWith.at - startedAt <= 10_010)
    }
    const told = joined
      .map(({ socket }) => socket.sent.find(({ frame }) => frame.type === 'drain')?.at ?? 0)
      .toSorted((a, b) => a - b)
    for (let index = 10; index < told.length; index += 1) {
      assert.ok((told[index] ?? 0) - (told[index - 10] ?? 0) >= 590, 'no more than ten are told in six tenths of a second')
    }
  })

  test('does nothing when nobody is connected', async () => {
    const { clock, hub } = setup()
    await sayGoodbye({ hub, spreadMs: 10_000, clock, random: () => 0.5, signal: new AbortController().signal })
    assert.equal(clock.now(), 1_000_000)
  })

  test('cuts whoever is left when its time is over', async () => {
    const { clock, hub, join } = setup()
    const { socket } = join() // answers no closing handshake
    const abort = new AbortController()
    const done = sayGoodbye({ hub, spreadMs: 1_000, clock, random: () => 0.5, signal: abort.signal })
    await clock.advance(2_000)
    abort.abort()
    await done
    assert.equal(socket.terminated, true)
  })
})
