import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { describe, test, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { createTallyClient as createFrozenClient } from '../../e2e/fixtures/tally-client-v1.js'
import { systemClock } from '../../shared/lifecycle/clock.ts'
import { SUBPROTOCOL, SUBPROTOCOL_GONE, SUBPROTOCOLS, type Frame, type Snapshot } from '../../shared/protocol/frames.ts'
import { createTallyClient, type State, type TallyClient } from '../web/client/tally-client.ts'
import { createHub, type Hub } from '../fanout/hub.ts'
import type { FollowOutcome, TallyFeed } from '../fanout/tally-feed.ts'
import { createUpgrade } from './upgrade.ts'

interface Place {
  readonly version: number
  readonly state?: 'open' | 'closed'
  /** The definition's own version. */
  readonly revision?: number
}

function snapshot(poll: string, { version, state = 'open', revision = 1 }: Place): Snapshot {
  const at = '2026-01-01T00:00:00.000Z'
  const question = `${poll}?`
  const settings = { options: [], resultsVisible: true, opensAt: null, closesAt: null }
  return {
    poll: { type: 'poll', poll, question, state, ...settings, epoch: 1, version: revision },
    tally: { type: 'tally', poll, epoch: 1, version, counts: {}, total: version, at },
  }
}

/**
 * A gateway's hub and handshakes. It knows the polls that its hub has a snapshot of, cannot say of those in `unavailable`, and takes
 * until `looking` resolves to say that there is not the poll `ghosts`.
 */
function createEdge({ unavailable = [] as readonly string[], looking = Promise.resolve() } = {}) {
  const source = { ageMs: 0 }
  const sourceAgeMs = () => source.ageMs
  const hub: Hub = createHub({ clock: systemClock, sourceAt: () => 1_700_000_000_000, sourceAgeMs, slowMs: 10_000 })
  const feed: TallyFeed = {
    isFollowing: (slug) => hub.snapshot(slug) !== undefined,
    async follow(slug): Promise<FollowOutcome> {
      if (unavailable.includes(slug)) return 'unavailable'
      if (slug === 'ghosts') await looking
      return hub.snapshot(slug) === undefined ? 'unknown' : 'following'
    },
    sourceAt: 1_700_000_000_000,
    sourceAgeMs,
    source: { ok: true, at: 0 },
    run: async () => {},
  }
  const upgrade = createUpgrade({
    hub,
    feed,
    admission: { enter: () => 'admitted', leave() {} },
    inspect: () => ({ address: '192.0.2.1', isOriginAllowed: true }),
    now: () => performance.now(),
  })
  return { hub, upgrade, source }
}
type Edge = ReturnType<typeof createEdge>

/** Listens for handshakes and gives them to the edge that is behind it at the time. */
async function serve(t: TestContext, edge: Edge) {
  const front = { edge, url: '', port: 0, handshakes: 0 }
  const server = createServer()
  const streams: Socket[] = []
  server.on('upgrade', (request: IncomingMessage, stream: Socket, head: Buffer) => {
    streams.push(stream)
    front.edge.upgrade.handle(request, stream, head)
    front.handshakes += 1
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const stream of streams) stream.destroy()
    server.close()
  })
  front.port = (server.address() as AddressInfo).port
  front.url = `ws://127.0.0.1:${front.port}/ws`
  return front
}

/** A socket that writes down its frames. */
function open(url: string, polls: readonly string[], protocols: readonly string[]) {
  const query = polls.map((poll) => `poll=${encodeURIComponent(poll)}`).join('&')
  const socket = new WebSocket(`${url}?${query}`, [...protocols])
  const frames: Frame[] = []
  const status = new Promise<number>((resolve) => {
    socket.on('unexpected-response', (_, response) => {
      resolve(response.statusCode ?? 0)
      response.destroy()
    })
  })
  const closed = once(socket, 'close').then(([code, reason]) => ({ code: Number(code), reason: String(reason) }))
  socket.on('error', () => {})
  socket.on('message', (data: Buffer) => frames.push(JSON.parse(data.toString()) as Frame))
  const until = async (count: number) => {
    while (frames.length < count) await once(socket, 'message')
    return frames
  }
  return { socket, frames, until, status, closed }
}

const names = (count: number) => Array.from({ length: count }, (_, index) => `poll-${index + 1}`)

describe('a handshake', () => {
  test('is given the best subprotocol that both know, whatever the client prefers, and none that it did not offer', async (t) => {
    const edge = createEdge()
    edge.hub.apply(snapshot('tea', { version: 1 }))
    const { url } = await serve(t, edge)
    for (const [offered, chosen] of [
      [[...SUBPROTOCOLS], SUBPROTOCOL_GONE],
      [[SUBPROTOCOL, SUBPROTOCOL_GONE, 'other'], SUBPROTOCOL_GONE],
      [[SUBPROTOCOL], SUBPROTOCOL],
      [[], ''],
    ] as const) {
      const { socket, until } = open(url, ['tea'], offered)
      await until(2)
      assert.equal(socket.protocol, chosen)
      socket.close()
    }
  })

  test('for some polls that there are and some that there are not: each of these is gone, and the socket stays for the others', async (t) => {
    const edge = createEdge()
    const known = names(14)
    for (const poll of known) edge.hub.apply(snapshot(poll, { version: 1 }))
    const { url } = await serve(t, edge)
    const asked = ['ghosts', ...known, 'No Name', 'seventeenth']
    const { socket, until } = open(url, asked, SUBPROTOCOLS)
    const frames = await until(2 * 14 + 3)
    assert.deepEqual(
      frames.slice(0, 28).map((frame) => [frame.type, 'poll' in frame && frame.poll]),
      known.flatMap((poll) => [
        ['poll', poll],
        ['tally', poll],
      ]),
    )
    assert.deepEqual(
      new Set(frames.slice(28).map((frame) => frame.type === 'gone' && `${frame.poll} ${frame.code} ${frame.reason}`)),
      new Set([
        'ghosts 4404 There is no poll "ghosts".',
        'No Name 4404 There is no poll of this name, nor can there be one.',
        'seventeenth 4403 One socket follows 16 polls at most.',
      ]),
    )
    edge.hub.apply(snapshot('poll-7', { version: 2 }))
    const more = await until(2 * 14 + 4)
    assert.deepEqual(more.at(-1), snapshot('poll-7', { version: 2 }).tally)
    socket.close()
  })

  test('for a poll that is removed while another is looked up: it is gone', async (t) => {
    const looking = Promise.withResolvers<void>()
    const edge = createEdge({ looking: looking.promise })
    for (const poll of ['tea', 'mate']) edge.hub.apply(snapshot(poll, { version: 1 }))
    const front = await serve(t, edge)
    const { until, socket } = open(front.url, ['tea', 'mate', 'ghosts'], SUBPROTOCOLS)
    while (front.handshakes === 0) await turn()
    edge.hub.end('tea')
    looking.resolve()
    const frames = await until(4)
    assert.deepEqual(
      frames.map((frame) => [frame.type, 'poll' in frame && frame.poll]),
      [
        ['poll', 'mate'],
        ['tally', 'mate'],
        ['gone', 'tea'],
        ['gone', 'ghosts'],
      ],
    )
    socket.close()
  })

  test('of a client that knows no such frame, or of none of ours, is refused as a whole', async (t) => {
    const edge = createEdge()
    for (const poll of names(17)) edge.hub.apply(snapshot(poll, { version: 1 }))
    const { url } = await serve(t, edge)
    for (const [polls, code, status] of [
      [['poll-1', 'ghosts'], 4404, 404],
      [['poll-1', 'No Name'], 4404, 404],
      [names(17), 4403, 400],
    ] as const) {
      assert.equal((await open(url, polls, [SUBPROTOCOL]).closed).code, code)
      assert.equal(await open(url, polls, []).status, status)
    }
  })

  test('for nothing but polls that there are not is refused as a whole to everyone', async (t) => {
    const { url } = await serve(t, createEdge())
    const { closed, frames } = open(url, ['ghosts', 'goblins'], SUBPROTOCOLS)
    assert.deepEqual(await closed, { code: 4404, reason: 'There is no poll "ghosts".' })
    assert.deepEqual(frames, [])
  })

  test('is put off while it is not known whether there is one of its polls', async (t) => {
    const edge = createEdge({ unavailable: ['perhaps'] })
    edge.hub.apply(snapshot('tea', { version: 1 }))
    const { url } = await serve(t, edge)
    assert.equal(await open(url, ['tea', 'ghosts', 'perhaps'], SUBPROTOCOLS).status, 503)
  })

  test('for a name that no close frame could hold ends that socket and nothing else', async (t) => {
    const edge = createEdge()
    edge.hub.apply(snapshot('tea', { version: 1 }))
    const { url } = await serve(t, edge)
    for (const name of ['€'.repeat(64), 'x'.repeat(5_000)]) {
      assert.equal((await open(url, [name], [SUBPROTOCOL]).closed).code, 4404)
    }
    await open(url, ['tea'], SUBPROTOCOLS).until(2)
  })
})

test('a client that floods with pings and answers no closing handshake is cut', async (t) => {
  const edge = createEdge()
  edge.hub.apply(snapshot('tea', { version: 1 }))
  const { port } = await serve(t, edge)
  const client = connect(port, '127.0.0.1')
  client.on('error', () => {})
  client.write(
    'GET /ws?poll=tea HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  )
  await once(client, 'data')
  const startedAt = performance.now()
  const pings = Buffer.concat(Array.from({ length: 1_000 }, () => Buffer.of(0x89, 0x80, 0, 0, 0, 0)))
  const flood = setInterval(() => client.write(pings), 10)
  t.after(() => clearInterval(flood))
  // it is cut in the middle of its writing, which is an error
  await new Promise((resolve) => client.resume().once('close', resolve))
  const tookMs = performance.now() - startedAt
  t.diagnostic(`cut after ${Math.round(tookMs)} ms`)
  assert.ok(tookMs < 10_000)
  while (edge.hub.size > 0) await turn()
})

/** Resolves when the client says it is in `state`. */
function reaches(client: TallyClient, state: State): Promise<void> {
  return new Promise((resolve) => {
    const look = () => client.status.state === state && resolve()
    client.addEventListener('status', look)
    look()
  })
}

test('a client that moves to a gateway that lags behind goes on showing the poll as closed', async (t) => {
  const [fresh, lagging] = [createEdge(), createEdge()]
  lagging.hub.apply(snapshot('tea', { version: 4, revision: 1, state: 'open' }))
  fresh.hub.apply(snapshot('tea', { version: 5, revision: 2, state: 'closed' }))
  const front = await serve(t, fresh)
  const client = createTallyClient({ url: front.url, random: () => 0 })
  t.after(() => client.close())
  const shown: string[] = []
  client.subscribe('tea', ({ version }, { state }) => shown.push(`${version} ${state}`))
  await reaches(client, 'live')
  front.edge = lagging
  for (const connection of fresh.hub.connections()) connection.close(1012, 'service restart')
  await reaches(client, 'reconnecting')
  await reaches(client, 'live')
  assert.equal(lagging.hub.size, 1)
  assert.deepEqual(new Set(shown), new Set(['5 closed']))
  // once it has caught up, the two tell the same
  lagging.hub.apply(snapshot('tea', { version: 6, revision: 3, state: 'open' }))
  await new Promise((resolve) => client.addEventListener('tally', resolve, { once: true }))
  await Promise.resolve()
  assert.equal(shown.at(-1), '6 open')
})

describe('a page that was loaded before livetally.v1.1', () => {
  const start = (t: TestContext, url: string) => {
    const client = createFrozenClient({ url, random: () => 0 })
    t.after(() => client.close())
    return client
  }

  test('shows its tallies, the new state of a poll, and when the source falls silent goes on', async (t) => {
    const edge = createEdge()
    edge.hub.apply(snapshot('tea', { version: 1 }))
    const { url } = await serve(t, edge)
    const client = start(t, url)
    const shown: string[] = []
    const news = () => new Promise((resolve) => client.addEventListener('tally', resolve, { once: true }))
    client.subscribe('tea', ({ version }, { state }) => shown.push(`${version} ${state}`))
    await reaches(client, 'live')
    edge.source.ageMs = 5_000
    edge.hub.tick()
    const closing = news()
    edge.hub.apply(snapshot('tea', { version: 2, revision: 2, state: 'closed' }))
    await closing
    await Promise.resolve()
    assert.equal(client.status.state, 'live')
    assert.equal(shown.at(-1), '2 closed')
  })

  test('ends with 4404 when one of its polls is unknown, or is removed', async (t) => {
    const edge = createEdge()
    for (const poll of ['tea', 'mate']) edge.hub.apply(snapshot(poll, { version: 1 }))
    const { url } = await serve(t, edge)
    const [asks, loses] = [start(t, url), start(t, url)]
    for (const poll of ['tea', 'ghosts']) asks.subscribe(poll, () => {})
    await reaches(asks, 'closed')
    assert.deepEqual([asks.status.code, asks.status.reason], [4404, 'There is no poll "ghosts".'])
    for (const poll of ['tea', 'mate']) loses.subscribe(poll, () => {})
    await reaches(loses, 'live')
    edge.hub.end('mate')
    await reaches(loses, 'closed')
    assert.deepEqual([loses.status.code, loses.status.reason], [4404, 'the poll is gone'])
  })
})
