import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { describe, test } from 'node:test'
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import type { Frame, Snapshot } from '../../shared/protocol/frames.ts'
import { createManualClock } from '../../e2e/support/manual-clock.ts'
import { Connection } from './connection.ts'
import { drainSockets } from './socket-drain.ts'
import { createHub } from './hub.ts'

/** The first byte of a ping. */
const PING = 0x89

/** Enough of a `ws` socket and of the stream below it: it remembers what was written, and when. */
class FakeSocket extends EventEmitter {
  readyState = 1
  readonly sent: { frame: Frame; at: number }[] = []
  writes = 0
  pings = 0
  closedWith: { code: number; at: number } | undefined
  terminated = false
  /** While true, nothing that is written is flushed. */
  isStuck = false
  readonly #now: () => number
  #flushed: () => void = () => {}

  readonly stream = {
    destroyed: false,
    writableLength: 0,
    write: (bytes: Buffer, flushed: () => void) => {
      if (bytes[0] === PING) this.pings += 1
      else {
        this.writes += 1
        for (const frame of framesIn(bytes)) this.sent.push({ frame, at: this.#now() })
      }
      if (this.isStuck) this.#flushed = flushed
      else flushed()
    },
  }

  constructor(now: () => number) {
    super()
    this.#now = now
  }
  unstick() {
    this.isStuck = false
    this.#flushed()
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

/** Text frames shorter than 64 KiB, unmasked. */
function framesIn(bytes: Buffer): Frame[] {
  const frames: Frame[] = []
  for (let at = 0; at < bytes.length;) {
    assert.equal(bytes[at], 0x81)
    const short = (bytes[at + 1] ?? 0) < 126
    const start = at + (short ? 2 : 4)
    const end = start + (short ? (bytes[at + 1] ?? 0) : bytes.readUInt16BE(at + 2))
    frames.push(JSON.parse(bytes.toString('utf8', start, end)) as Frame)
    at = end
  }
  return frames
}

function setup() {
  const clock = createManualClock(1_000_000)
  let sourceAt: number | undefined = 1_000_000
  const hub = createHub({ clock, sourceAt: () => sourceAt, slowMs: 10_000 })
  const join = (slugs = ['p']) => {
    const socket = new FakeSocket(clock.now)
    const connection = new Connection({
      // as much of them as a connection uses
      socket: socket as unknown as WebSocket,
      // as above
      stream: socket.stream as unknown as Socket,
      slugs,
      address: '192.0.2.1',
      host: { now: clock.now, drained: hub.catchUp },
    })
    hub.add(connection)
    return {
      socket,
      connection,
      tallies: () => socket.sent.flatMap(({ frame }) => (frame.type === 'tally' ? frame.version : [])),
    }
  }
  /** Lets so many seconds pass, ticking as the gateway does. */
  const run = async (seconds: number) => {
    for (let tick = 0; tick < seconds * 10; tick += 1) {
      await clock.advance(100)
      hub.tick()
    }
  }
  return { clock, hub, join, run, setSourceAt: (at: number | undefined) => (sourceAt = at) }
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
    assert.ok(tallies().length <= 20, `${tallies().length} tallies for 200 changes in a second`)
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
    const { clock, hub, join, run, setSourceAt } = setup()
    const { socket } = join()
    hub.apply(snapshot(1))
    await clock.advance(0)
    await run(14)
    assert.ok(!socket.sent.some(({ frame }) => frame.type === 'alive'))
    setSourceAt(1_013_000)
    await run(2)
    assert.deepEqual(socket.sent.at(-1)?.frame, { type: 'alive', at: new Date(1_013_000).toISOString() })
  })

  test('closes a socket with 1013 that does not answer a ping, and no other', async () => {
    const { run, join } = setup()
    const [mute, answering] = [join().socket, join().socket]
    for (let second = 0; second < 30; second += 1) {
      await run(1)
      if (answering.pings > 0) answering.emit('pong')
    }
    assert.equal(mute.closedWith?.code, 1013)
    assert.ok((mute.closedWith?.at ?? 0) - 1_000_000 <= 27_000, 'its tallies are never older than that')
    assert.equal(answering.closedWith, undefined)
  })

  test('pings a crowd that came at once a tenth at a time', async () => {
    const { clock, hub, join } = setup()
    const sockets = Array.from({ length: 100 }, () => join().socket)
    await clock.advance(15_000)
    const pinged: number[] = []
    for (let tick = 0; tick < 10; tick += 1) {
      hub.tick()
      pinged.push(sockets.filter(({ pings }) => pings > 0).length)
    }
    assert.deepEqual(pinged, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100])
  })

  test('sends a socket that could not keep up the newest when it can again, and not the backlog', async () => {
    const { clock, hub, join } = setup()
    const { socket, tallies } = join()
    socket.isStuck = true
    for (let version = 1; version <= 10; version += 1) {
      hub.apply(snapshot(version))
      await clock.advance(100)
    }
    assert.deepEqual(tallies(), [1], 'one frame waits, and no more')
    socket.unstick()
    assert.deepEqual(tallies(), [1, 10])
    hub.apply(snapshot(11))
    await clock.advance(100)
    assert.deepEqual(tallies(), [1, 10, 11])
  })

  test('closes a socket with 1013 that has not taken its bytes for too long', async () => {
    const { clock, hub, run, join } = setup()
    const { socket } = join()
    socket.isStuck = true
    hub.apply(snapshot(1))
    await clock.advance(0)
    await run(9)
    assert.equal(socket.closedWith?.code, undefined)
    await run(3)
    assert.equal(socket.closedWith?.code, 1013)
  })

  test('tells several polls that change in one tick in one write', async () => {
    const { clock, hub, join } = setup()
    const { socket } = join(['p', 'q', 'r'])
    for (const poll of ['p', 'q', 'r']) hub.apply(snapshot(1, { poll }))
    await clock.advance(100)
    assert.equal(socket.writes, 1)
    for (const poll of ['r', 'p']) hub.apply(snapshot(2, { poll }))
    await clock.advance(100)
    assert.equal(socket.writes, 2)
    assert.deepEqual(
      socket.sent.flatMap(({ frame }) => (frame.type === 'tally' && frame.version === 2 ? frame.poll : [])),
      ['p', 'r'],
    )
  })
})

describe('draining the sockets', () => {
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
    void drainSockets({ hub, spreadMs: 10_000, clock, random: () => 0.5, signal: new AbortController().signal }).then(
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
    await drainSockets({ hub, spreadMs: 10_000, clock, random: () => 0.5, signal: new AbortController().signal })
    assert.equal(clock.now(), 1_000_000)
  })

  test('cuts whoever is left when its time is over', async () => {
    const { clock, hub, join } = setup()
    const { socket } = join() // answers no closing handshake
    const abort = new AbortController()
    const done = drainSockets({ hub, spreadMs: 1_000, clock, random: () => 0.5, signal: abort.signal })
    await clock.advance(2_000)
    abort.abort()
    await done
    assert.equal(socket.terminated, true)
  })
})
