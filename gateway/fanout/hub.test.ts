import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { describe, test } from 'node:test'
import type { Socket } from 'node:net'
import type { WebSocket } from 'ws'
import { SUBPROTOCOL, SUBPROTOCOL_GONE, type Frame, type Snapshot } from '../../shared/protocol/frames.ts'
import { createManualClock } from '../../e2e/support/manual-clock.ts'
import { Connection } from './connection.ts'
import { createHub } from './hub.ts'

/** The first byte of a ping. */
const PING = 0x89

/** Enough of a `ws` socket and of the stream below it: it remembers what was written, and when. */
class FakeSocket extends EventEmitter {
  readyState = 1
  readonly protocol: string
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

  constructor(now: () => number, protocol: string) {
    super()
    this.protocol = protocol
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
  let sourceAt = 1_000_000
  let sourceAgeMs = 0
  const hub = createHub({ clock, sourceAt: () => sourceAt, sourceAgeMs: () => sourceAgeMs, slowMs: 10_000 })
  const join = (slugs = ['p'], protocol: string = SUBPROTOCOL) => {
    const socket = new FakeSocket(clock.now, protocol)
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
  /** When the source was last heard, by its clock, and how long ago that is. */
  const setSource = (at: number, ageMs: number) => {
    sourceAt = at
    sourceAgeMs = ageMs
  }
  return { clock, hub, join, run, setSource }
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
    const { clock, hub, join, run, setSource } = setup()
    const { socket } = join()
    hub.apply(snapshot(1))
    await clock.advance(0)
    await run(14)
    assert.ok(!socket.sent.some(({ frame }) => frame.type === 'alive'))
    setSource(1_013_000, 900)
    await run(2)
    assert.deepEqual(socket.sent.at(-1)?.frame, { type: 'alive', at: new Date(1_013_000).toISOString(), silentMs: 0 })
  })

  test('tells everyone in one tick that the source has been silent for three seconds, and that it speaks again', async () => {
    const { clock, hub, join, setSource } = setup()
    hub.apply(snapshot(1))
    hub.apply(snapshot(1, { poll: 'q' }))
    const sockets = Array.from({ length: 300 }, (_, index) => join(index % 2 === 0 ? ['p'] : ['p', 'q']).socket)
    const tick = async () => {
      hub.tick()
      await clock.advance(100)
    }
    const words = (socket: FakeSocket) => socket.sent.flatMap(({ frame }) => (frame.type === 'alive' ? frame.silentMs : []))
    setSource(1_000_000, 2_999)
    await tick()
    assert.ok(sockets.every((socket) => words(socket).length === 0))
    setSource(1_000_000, 3_099)
    await tick()
    for (const socket of sockets) assert.deepEqual(words(socket), [3_099])
    setSource(1_000_000, 3_199)
    await tick()
    for (const socket of sockets) assert.deepEqual(words(socket), [3_099], 'once')
    setSource(1_004_000, 20)
    await tick()
    for (const socket of sockets) assert.deepEqual(words(socket), [3_099], 'the tallies that came with it go first')
    setSource(1_004_000, 120)
    await tick()
    for (const socket of sockets) assert.deepEqual(words(socket), [3_099, 0])
    assert.deepEqual(sockets[0]?.sent.at(-1)?.frame, { type: 'alive', at: new Date(1_004_000).toISOString(), silentMs: 0 })
  })

  test('tells a newcomer after its tallies for how long the source has been silent by then, and nothing while it speaks', async () => {
    const { clock, hub, join, setSource } = setup()
    hub.apply(snapshot(1))
    const types = ({ sent }: FakeSocket) => sent.map(({ frame }) => frame.type)
    assert.deepEqual(types(join().socket), ['poll', 'tally'])
    for (const ageMs of [4_000, 90_000]) {
      setSource(1_000_000, ageMs)
      hub.tick()
      await clock.advance(100)
      const { socket } = join()
      assert.deepEqual(types(socket), ['poll', 'tally', 'alive'])
      assert.deepEqual(socket.sent[2]?.frame, { type: 'alive', at: new Date(1_000_000).toISOString(), silentMs: ageMs })
    }
    setSource(1_100_000, 200)
    hub.tick()
    await clock.advance(100)
    assert.deepEqual(types(join().socket), ['poll', 'tally'])
  })

  test('a poll that is gone ends alone where the client understands that and follows others, and with its socket elsewhere', async () => {
    const { clock, hub, join } = setup()
    for (const poll of ['p', 'q']) hub.apply(snapshot(1, { poll }))
    const [both, alone] = [join(['p', 'q'], SUBPROTOCOL_GONE), join(['p'], SUBPROTOCOL_GONE)]
    const [old, plain] = [join(['p', 'q']), join(['p', 'q'], '')]
    const untouched = join(['q'])
    hub.end('p')
    for (const { socket } of [alone, old, plain]) {
      assert.equal(socket.closedWith?.code, 4404)
      assert.ok(!socket.sent.some(({ frame }) => frame.type === 'gone'))
    }
    for (const { socket } of [both, untouched]) assert.equal(socket.closedWith, undefined)
    assert.deepEqual(both.socket.sent.at(-1)?.frame, { type: 'gone', poll: 'p', code: 4404, reason: 'the poll is gone' })
    assert.equal(hub.isWatched('p'), false)
    assert.equal(hub.size, 2)
    await clock.advance(100)
    hub.apply(snapshot(2, { poll: 'q' }))
    await clock.advance(100)
    for (const { tallies } of [both, untouched]) assert.equal(tallies().at(-1), 2)
    for (const { connection } of [both, untouched]) hub.remove(connection)
    assert.equal(hub.size, 0)
    assert.equal(hub.isWatched('q'), false)
  })

  test('who loses a poll in the middle of a round gets every later tally of the others', async () => {
    const { clock, hub, join } = setup()
    const members = Array.from({ length: 600 }, () => join(['p', 'q'], SUBPROTOCOL_GONE))
    for (let version = 1; version <= 5; version += 1) {
      hub.apply(snapshot(version))
      await clock.advance(100)
    }
    // the first write takes so long that the round pauses before it has come to everyone
    const { stream } = members[0]?.socket ?? assert.fail()
    const { write } = stream
    stream.write = (bytes, flushed) => {
      for (const until = performance.now() + 20; performance.now() < until;);
      write(bytes, flushed)
    }
    hub.apply(snapshot(6))
    await new Promise<void>((resolve) => setImmediate(resolve))
    stream.write = write
    assert.notEqual(members.at(-1)?.tallies().at(-1), 6, 'the round has paused')
    hub.end('p')
    await clock.advance(100)
    hub.apply(snapshot(77, { poll: 'q' }))
    await clock.advance(100)
    for (const { tallies } of members) assert.equal(tallies().at(-1), 77)
  })

  test('a poll that comes back while the sockets of its predecessor close is that of newcomers', async () => {
    const { clock, hub, join } = setup()
    hub.apply(snapshot(9))
    const { socket, connection } = join()
    hub.end('p')
    assert.equal(socket.closedWith?.code, 4404)
    hub.apply(snapshot(1, { epoch: 2 }))
    const later = join()
    await clock.advance(100)
    hub.apply(snapshot(2, { epoch: 2 }))
    await clock.advance(100)
    assert.deepEqual(later.tallies(), [1, 2])
    // the closing of the old socket is over only now
    hub.remove(connection)
    assert.equal(hub.size, 1)
    assert.equal(hub.isWatched('p'), true)
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
