import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import { WebSocketServer, type WebSocket as Peer } from 'ws'
import type { DrainFrame, GoneFrame, PollFrame, TallyFrame } from '../../../shared/protocol/frames.ts'
import { createTallyClient, type ClientOptions, type State, type TallyClient } from './tally-client.ts'

const pollFrame = (poll: string): PollFrame => ({
  type: 'poll',
  poll,
  question: `${poll}?`,
  options: [{ id: 'yes', label: 'Yes' }],
  state: 'open',
  resultsVisible: true,
  opensAt: null,
  closesAt: null,
})
const tallyFrame = (poll: string, version: number): TallyFrame => ({
  type: 'tally',
  poll,
  epoch: 1,
  version,
  counts: { yes: version },
  total: version,
  at: new Date().toISOString(),
})
const goneFrame = (poll: string): GoneFrame => ({ type: 'gone', poll, code: 4404, reason: `There is no poll "${poll}".` })
const drainFrame: DrainFrame = { type: 'drain', closeAfterMs: 400 }

function send(peer: Peer | undefined, ...frames: object[]): void {
  for (const frame of frames) peer?.send(JSON.stringify(frame))
}

/** A real server that greets each socket with version `version` of every poll it asked for, unless a test prevents it. */
async function serve(t: TestContext, { greets = true, protocol = 'livetally.v1.1' } = {}) {
  const handleProtocols = (offered: Set<string>) => offered.has(protocol) && protocol
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', handleProtocols })
  await once(server, 'listening')
  const state = { version: 1, greets }
  const peers: Peer[] = []
  const requests: URL[] = []
  const codes: number[] = []
  const greet = (peer: Peer | undefined, url: URL) => {
    for (const poll of url.searchParams.getAll('poll')) send(peer, pollFrame(poll), tallyFrame(poll, state.version))
  }
  server.on('connection', (peer, request) => {
    const url = new URL(request.url ?? '/', 'ws://localhost')
    peers.push(peer)
    requests.push(url)
    peer.on('close', (code) => codes.push(code))
    if (state.greets) greet(peer, url)
  })
  t.after(() => {
    for (const peer of peers) peer.terminate()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { server, state, peers, requests, codes, greet, url: `http://127.0.0.1:${port}/ws` }
}

function start(t: TestContext, options: ClientOptions): TallyClient {
  const client = createTallyClient({ random: () => 0.1, ...options })
  t.after(() => client.close())
  return client
}

/** Resolves when the client says it is in `state`. */
function reaches(client: TallyClient, state: State): Promise<void> {
  return new Promise((resolve) => {
    const look = () => client.status.state === state && resolve()
    client.addEventListener('status', look)
    look()
  })
}

/** Resolves with the next tally whose version is `version`. */
function hears(client: TallyClient, version: number): Promise<TallyFrame> {
  return new Promise((resolve) => client.addEventListener('tally', ({ detail }) => detail.version === version && resolve(detail)))
}

test('one subscription: one socket, the subprotocol, the tally with its poll', async (t) => {
  const { url, peers, requests } = await serve(t)
  const client = start(t, { url })
  const [tally, poll] = await new Promise<[TallyFrame, PollFrame]>((resolve) =>
    client.subscribe('cats', (...standing) => resolve(standing)),
  )
  assert.equal(tally.total, 1)
  assert.equal(poll.question, 'cats?')
  assert.equal(client.status.state, 'live')
  assert.ok(Math.abs(client.status.asOf! - Date.now()) < 1_000)
  assert.equal(peers[0]?.protocol, 'livetally.v1.1')
  assert.equal(requests[0]?.search, '?poll=cats')
})

test('subscriptions made together share a connection; a later one moves it without a gap', async (t) => {
  const { url, requests, codes, peers } = await serve(t)
  const client = start(t, { url })
  client.subscribe('cats', () => {})
  client.subscribe('dogs', () => {})
  await reaches(client, 'live')
  const states: State[] = []
  client.addEventListener('status', ({ detail }) => states.push(detail.state))
  const left = once(peers[0]!, 'close')
  const tea = new Promise<TallyFrame>((resolve) => client.subscribe('tea', resolve))
  assert.equal((await tea).poll, 'tea')
  await left
  assert.deepEqual(
    requests.map((each) => each.search),
    ['?poll=cats&poll=dogs', '?poll=cats&poll=dogs&poll=tea'],
  )
  assert.deepEqual(states, ['moving', 'live'])
  assert.deepEqual(codes, [1000])
})

test('a second subscriber hears at once what is known, and unsubscribing ends it', async (t) => {
  const { url, peers } = await serve(t)
  const client = start(t, { url })
  client.subscribe('cats', () => {})
  await reaches(client, 'live')
  const heard: number[] = []
  const stopped = new AbortController()
  const stop = client.subscribe('cats', ({ version }) => heard.push(version))
  client.subscribe('cats', ({ version }) => heard.push(version), { signal: stopped.signal })
  await Promise.resolve()
  assert.deepEqual(heard, [1, 1])
  stop()
  stopped.abort()
  send(peers[0], tallyFrame('cats', 2))
  await hears(client, 2)
  assert.deepEqual(heard, [1, 1])
  assert.equal(peers.length, 1)
})

test('drain: the new socket is live before the old one is left with 1000, and no version is missed or repeated', async (t) => {
  const old = await serve(t)
  const client = start(t, { url: old.url })
  const versions: number[] = []
  client.subscribe('cats', ({ version }) => versions.push(version))
  await reaches(client, 'live')
  old.state.greets = false
  send(old.peers[0], drainFrame)
  await once(old.server, 'connection')
  assert.equal(client.status.state, 'moving')
  // the old socket feeds the screen until the new one has sent its tallies
  const second = hears(client, 2)
  send(old.peers[0], tallyFrame('cats', 2))
  await second
  assert.equal(old.peers[0]?.readyState, 1)
  old.state.version = 3
  old.greet(old.peers[1], old.requests[1]!)
  await once(old.peers[0], 'close')
  await reaches(client, 'live')
  assert.deepEqual(old.codes, [1000])
  assert.deepEqual(versions, [1, 2, 3])
})

test('drain, but the new server refuses: the old one feeds the screen until another try succeeds', async (t) => {
  const { url, server, peers, state } = await serve(t)
  const client = start(t, { url })
  client.subscribe('cats', () => {})
  await reaches(client, 'live')
  const states: State[] = []
  client.addEventListener('status', ({ detail }) => states.push(detail.state))
  let refusals = 0
  const refuse = (peer: Peer) => {
    if (++refusals <= 2) peer.close(1013)
  }
  server.prependListener('connection', refuse)
  state.greets = false
  server.on('connection', () => (state.greets = refusals >= 2))
  send(peers[0], { ...drainFrame, closeAfterMs: 60_000 })
  const moved = once(peers[0]!, 'close')
  await moved
  await reaches(client, 'live')
  assert.deepEqual(states, ['moving', 'live'])
  assert.equal(refusals, 3)
})

test('1012, and a connection cut without a word: it comes back by itself', async (t) => {
  const { url, peers, state } = await serve(t)
  const client = start(t, { url })
  const versions: number[] = []
  client.subscribe('cats', ({ version }) => versions.push(version))
  await reaches(client, 'live')
  state.version = 2
  peers[0]?.close(1012)
  await hears(client, 2)
  await reaches(client, 'live')
  state.version = 3
  peers[1]?.terminate()
  await hears(client, 3)
  assert.deepEqual(versions, [1, 2, 3])
})

test('a server that knows less than was shown does not turn the screen back', async (t) => {
  const { url, peers, state } = await serve(t)
  state.version = 7
  const client = start(t, { url })
  const versions: number[] = []
  client.subscribe('cats', ({ version }) => versions.push(version))
  await reaches(client, 'live')
  state.version = 5
  peers[0]?.terminate()
  await reaches(client, 'reconnecting')
  await reaches(client, 'live')
  assert.ok(versions.every((version) => version === 7))
})

test('2 s without a server are stale, with the time of the last known tally; then it heals', async (t) => {
  const { url, server, peers, state } = await serve(t)
  const client = start(t, { url })
  client.subscribe('cats', () => {})
  await reaches(client, 'live')
  state.greets = false
  const { asOf } = client.status
  const lostAt = Date.now()
  peers[0]?.terminate()
  await reaches(client, 'stale')
  assert.ok(Date.now() - lostAt >= 1_900)
  assert.equal(client.status.asOf, asOf)
  state.greets = true
  for (const peer of server.clients) peer.terminate()
  await reaches(client, 'live')
  assert.ok(client.status.asOf! > asOf!)
})

test('a refusal for good closes it and says why; iteration throws', async (t) => {
  const { url, server } = await serve(t, { greets: false })
  server.on('connection', (peer) => peer.close(4404, 'no such poll'))
  const client = start(t, { url })
  const told: string[] = []
  for (const poll of ['ghosts', 'goblins', 'ghosts']) {
    client.subscribe(poll, () => {}, { onGone: ({ code, reason }) => told.push(`${poll} ${code} ${reason}`) })
  }
  await assert.rejects(client.follow('ghosts').next(), { message: 'no such poll', cause: 4404 })
  assert.deepEqual(told, ['ghosts 4404 no such poll', 'ghosts 4404 no such poll', 'goblins 4404 no such poll'])
  assert.deepEqual([client.status.state, client.status.code, client.status.reason], ['closed', 4404, 'no such poll'])
})

test('a poll that is gone ends for its subscribers and is told; the others go on, over the same socket', async (t) => {
  const { url, peers, requests, server } = await serve(t, { greets: false })
  server.on('connection', (peer) => send(peer, pollFrame('cats'), tallyFrame('cats', 1), goneFrame('ghosts')))
  const client = start(t, { url })
  const told: string[] = []
  client.addEventListener('gone', ({ detail }) => told.push(`event ${detail.poll} ${detail.code}`))
  client.subscribe('cats', () => {})
  client.subscribe('ghosts', () => told.push('a tally'), { onGone: ({ poll, code }) => told.push(`option ${poll} ${code}`) })
  await assert.rejects(client.follow('ghosts').next(), { message: 'There is no poll "ghosts".', cause: 4404 })
  assert.deepEqual(told, ['event ghosts 4404', 'option ghosts 4404'])
  assert.equal(client.status.state, 'live')
  send(peers[0], tallyFrame('cats', 2))
  await hears(client, 2)
  // the next socket does not ask for it
  peers[0]?.terminate()
  await once(server, 'connection')
  assert.deepEqual(
    requests.map(({ search }) => search),
    ['?poll=cats&poll=ghosts', '?poll=cats'],
  )
})

test('subscribing again to a poll that was gone asks again, from within the word that it is gone as well', async (t) => {
  const { url, peers, requests, server, greet } = await serve(t, { greets: false })
  server.on('connection', (peer) => {
    if (peers.length === 1) send(peer, pollFrame('cats'), tallyFrame('cats', 1), goneFrame('tea'))
    else greet(peer, requests.at(-1)!)
  })
  const client = start(t, { url })
  client.subscribe('cats', () => {})
  const tally = await new Promise<TallyFrame>((resolve) => {
    client.subscribe('tea', () => {}, { onGone: () => client.subscribe('tea', resolve) })
  })
  assert.deepEqual([tally.poll, tally.version], ['tea', 1])
  assert.equal(peers.length, 2)
})

test('a feed that ends for good while a wanted poll is being asked for elsewhere ends nothing', async (t) => {
  const { url, peers, server, state, requests, greet } = await serve(t)
  const client = start(t, { url })
  client.subscribe('ghosts', () => {})
  await reaches(client, 'live')
  state.greets = false
  client.subscribe('cats', () => {})
  await once(server, 'connection')
  const left = once(peers[0]!, 'close')
  peers[0]?.close(4404, 'the poll is gone')
  await left
  greet(peers[1], requests[1]!)
  await reaches(client, 'live')
})

test('a definition is replaced only by a newer one, whatever server it comes from', async (t) => {
  const { url, peers } = await serve(t)
  const client = start(t, { url })
  const states: string[] = []
  client.addEventListener('poll', ({ detail }) => states.push(detail.state))
  client.subscribe('cats', () => {})
  await reaches(client, 'live')
  const placed = (version: number, kind: PollFrame['state']): PollFrame => ({
    ...pollFrame('cats'),
    epoch: 1,
    version,
    state: kind,
  })
  send(peers[0], placed(2, 'closed'), placed(1, 'open'), placed(2, 'open'), placed(3, 'open'), tallyFrame('cats', 2))
  await hears(client, 2)
  assert.deepEqual(states, ['open', 'closed', 'open'])
})

test('a server that says that its source is silent makes it delayed at once, and it stays so until the source speaks', async (t) => {
  const { url, peers } = await serve(t)
  const client = start(t, { url })
  client.subscribe('cats', () => {})
  await reaches(client, 'live')
  const changes: boolean[] = []
  client.addEventListener('status', ({ detail }) => detail.state === 'live' && changes.push(detail.delayed))
  const at = '2026-01-01T00:00:00.000Z'
  const silent = { type: 'alive', at, silentMs: 60_000 }
  send(peers[0], silent)
  while (!client.status.delayed) await nextStatus(client)
  assert.ok(Date.now() - client.status.asOf! >= 60_000, 'the numbers are as old as the source is silent')
  peers[0]?.terminate()
  await reaches(client, 'reconnecting')
  await reaches(client, 'live')
  assert.ok(client.status.delayed, 'the repeated tally of another server says nothing of the source')
  send(peers[1], { type: 'alive', at, silentMs: 0 })
  while (client.status.delayed) await nextStatus(client)
  assert.ok(Date.now() - client.status.asOf! < 5_000)
})

test('the same word of the source twice means delayed; a tally ends that', async (t) => {
  const { url, peers } = await serve(t)
  const client = start(t, { url })
  client.subscribe('cats', () => {})
  await reaches(client, 'live')
  const alive = { type: 'alive', at: '2026-01-01T00:00:00.000Z' }
  const changed = new Promise((resolve) => client.addEventListener('status', resolve, { once: true }))
  send(peers[0], alive, alive)
  await changed
  assert.ok(client.status.delayed)
  send(peers[0], tallyFrame('cats', 2))
  await hears(client, 2)
  assert.ok(!client.status.delayed)
})

test('a server that knows livetally.v1 alone: shown and moved as before, and ended by its word about one of the polls', async (t) => {
  // what it sends: definitions without an order, `alive` without an age, and no `gone`
  const { url, peers, server, state } = await serve(t, { protocol: 'livetally.v1' })
  const client = start(t, { url })
  const states: string[] = []
  client.addEventListener('poll', ({ detail }) => states.push(detail.state))
  client.subscribe('cats', () => {})
  await reaches(client, 'live')
  assert.equal(peers[0]?.protocol, 'livetally.v1')
  send(peers[0], { ...pollFrame('cats'), state: 'closed' }, tallyFrame('cats', 2))
  await hears(client, 2)
  state.version = 3
  send(peers[0], drainFrame)
  await hears(client, 3)
  await reaches(client, 'live')
  assert.deepEqual(states, ['open', 'closed', 'open'])
  const alive = { type: 'alive', at: '2026-01-01T00:00:00.000Z' }
  const delayed = new Promise((resolve) => client.addEventListener('status', resolve, { once: true }))
  send(peers[1], alive, alive)
  await delayed
  assert.ok(client.status.delayed)
  state.greets = false
  server.on('connection', (peer) => peer.close(4404, 'There is no poll "ghosts".'))
  client.subscribe('ghosts', () => {})
  await reaches(client, 'closed')
  assert.deepEqual([client.status.code, client.status.reason], [4404, 'There is no poll "ghosts".'])
})

test('iteration gives the newest to a slow reader and ends with its signal', async (t) => {
  const { url, peers } = await serve(t)
  const client = start(t, { url })
  const stopped = new AbortController()
  const seen: number[] = []
  for await (const { tally, poll } of client.follow('cats', { signal: stopped.signal })) {
    seen.push(tally.version)
    assert.equal(poll.poll, 'cats')
    if (tally.version === 1) {
      send(peers[0], tallyFrame('cats', 2), tallyFrame('cats', 3), tallyFrame('cats', 4))
      await hears(client, 4)
    } else stopped.abort()
  }
  assert.deepEqual(seen, [1, 4])
})

test('nonsense and frames of the future change nothing', async (t) => {
  const { url, peers } = await serve(t)
  const client = start(t, { url })
  client.subscribe('cats', () => {})
  await reaches(client, 'live')
  for (const text of ['', 'null', '7', '[]', '{', '{"type":"later"}']) peers[0]?.send(text)
  send(peers[0], tallyFrame('cats', 2))
  await hears(client, 2)
  assert.equal(client.status.state, 'live')
})

test('its signal closes it, before it began or in the middle, and a listener may close it too', async (t) => {
  const { url, peers, server } = await serve(t)
  const early = start(t, { url, signal: AbortSignal.abort() })
  early.subscribe('cats', () => {})
  assert.equal(early.status.state, 'closed')
  const stopped = new AbortController()
  const client = start(t, { url, signal: stopped.signal })
  client.subscribe('cats', () => stopped.abort())
  const [peer] = (await once(server, 'connection')) as [Peer]
  const [code] = await once(peer, 'close')
  assert.equal(code, 1000)
  assert.equal(client.status.state, 'closed')
  assert.equal(peers.length, 1)
})

test('an address that is none is refused at once', () => {
  assert.throws(() => createTallyClient({ url: 'http://' }), TypeError)
})

function nextStatus(client: TallyClient): Promise<unknown> {
  return new Promise((resolve) => client.addEventListener('status', resolve, { once: true }))
}
