/** What a client of the wire must do, checked with a server whose every word is known. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { isNewer } from '../../shared/protocol/order.ts'
import type { Check } from './check.ts'
import { type RunningClient, startClient } from './client-under-test.ts'
import { type MockServer, pollFrame, startMockServer, tallyFrame, type Visit } from './mock-server.ts'

export interface Client {
  /** A program and its arguments; the address of the server becomes the last one. */
  readonly command: readonly string[]
}

/** Enough for a program to start, and to do what it does at once, in ms. */
const PROMPT_MS = 10_000
/** How long a client may wait before it tries again after a server has left or was lost: 250 ms at most, and time to connect. */
const BACK_MS = 2_000

const POLL = 'cats-or-dogs'

interface Scene {
  readonly client: RunningClient
  readonly server: MockServer
  /** Resolves to the visit with this number; its poll and first tally have been sent. */
  visit(index: number, ms?: number): Promise<Visit>
}

interface SceneOptions {
  readonly polls?: readonly string[]
  /** What a new visit gets; without it, every poll and a tally of the version that is the visit's number from 1. */
  readonly greet?: (visit: Visit, index: number) => void
}

async function withClient(
  { command }: Client,
  { polls = [POLL], greet = greetAll }: SceneOptions,
  play: (scene: Scene) => Promise<void>,
) {
  const server = await startMockServer(greet)
  const client = startClient(command, server.url, polls)
  try {
    await play({ client, server, visit: (index, ms = PROMPT_MS) => server.visit(index, ms) })
    for (const { said } of server.visits) assert.equal(said, 0, 'the client sent data, for which this wire has no frames')
    assertNeverBack(client)
  } finally {
    await client.stop()
    await server.close()
  }
}

function greetAll(visit: Visit, index: number): void {
  for (const poll of visit.polls) {
    visit.send(pollFrame(poll))
    visit.send(tallyFrame(poll, index + 1))
  }
}

/** No tally that was shown is older than one of its poll before it. */
function assertNeverBack({ shown }: RunningClient): void {
  for (const [index, tally] of shown.entries()) {
    const newer = shown.slice(0, index).find((before) => before.poll === tally.poll && isNewer(before, tally))
    assert.equal(newer, undefined, `after ${JSON.stringify(newer)} the client showed ${JSON.stringify(tally)}`)
  }
}

export const clientChecks: readonly Check<Client>[] = [
  {
    name: 'it shows the first tally',
    source: 'docs/protocol.md, Frames',
    run: (client) =>
      withClient(client, {}, async ({ visit, client: running }) => {
        const { polls, subprotocol } = await visit(0)
        assert.deepEqual(polls, [POLL])
        assert.notEqual(subprotocol, '', 'the client offers no subprotocol of the wire')
        await running.shows(POLL, 1, 1, PROMPT_MS)
      }),
  },
  {
    name: 'it passes over older tallies and shows newer ones, of a later epoch too',
    source: 'docs/protocol.md, Frames',
    run: (client) =>
      withClient(client, {}, async ({ visit, client: running }) => {
        const { send } = await visit(0)
        send(tallyFrame(POLL, 5))
        send(tallyFrame(POLL, 4))
        send(tallyFrame(POLL, 5))
        send(tallyFrame(POLL, 2, { epoch: 2 }))
        send(tallyFrame(POLL, 6))
        send(tallyFrame(POLL, 3, { epoch: 2 }))
        await running.shows(POLL, 2, 3, PROMPT_MS)
      }),
  },
  {
    name: 'it passes over frames and fields that it does not know, and does without counts',
    source: 'docs/protocol.md, Versions',
    run: (client) =>
      withClient(client, {}, async ({ visit, client: running }) => {
        const { send } = await visit(0)
        send({ type: 'of-a-later-version', poll: POLL, epoch: 9, version: 9 })
        send({ ...pollFrame(POLL), version: 2, colour: 'red' })
        send({ type: 'alive', at: '2026-01-01T00:00:00.000Z', silentMs: 0 })
        send({ ...tallyFrame(POLL, 7, { hidden: true }), leader: 'yes' })
        await running.shows(POLL, 1, 7, PROMPT_MS)
      }),
  },
  {
    name: 'it answers pings',
    source: 'RFC 6455 §5.5.3',
    run: (client) =>
      withClient(client, {}, async ({ visit, client: running }) => {
        const first = await visit(0)
        first.socket.ping()
        first.send(tallyFrame(POLL, 2))
        await running.shows(POLL, 1, 2, PROMPT_MS)
        for (let waited = 0; first.pongs === 0 && waited < BACK_MS; waited += 50) await delay(50)
        assert.ok(first.pongs > 0, 'there was no pong')
      }),
  },
  {
    name: 'told to drain, it leaves with 1000, and only when the next socket has shown a tally',
    source: 'docs/protocol.md, What keeps a screen from going blank or backwards',
    run: (client) => {
      let mayGreet = Promise.resolve()
      const greet = (visit: Visit, index: number) => void mayGreet.then(() => greetAll(visit, index))
      return withClient(client, { greet }, async ({ visit, client: running }) => {
        const first = await visit(0)
        await running.shows(POLL, 1, 1, PROMPT_MS)
        const held = Promise.withResolvers<void>()
        mayGreet = held.promise
        first.send({ type: 'drain', closeAfterMs: 20_000 })
        const next = await visit(1, 15_000)
        first.send(tallyFrame(POLL, 9))
        await running.shows(POLL, 1, 9, PROMPT_MS)
        assert.equal(first.isClosed, false, 'the first socket was left before the next one had told anything')
        held.resolve()
        assert.equal(await first.closed, 1000)
        next.send(tallyFrame(POLL, 10))
        await running.shows(POLL, 1, 10, PROMPT_MS)
      })
    },
  },
  {
    name: 'after 1012 it is back within a moment',
    source: 'docs/protocol.md, Close codes and refusals',
    run: (client) =>
      withClient(client, {}, async ({ visit, client: running }) => {
        const first = await visit(0)
        await running.shows(POLL, 1, 1, PROMPT_MS)
        first.socket.close(1012)
        await visit(1, BACK_MS)
        await running.shows(POLL, 1, 2, PROMPT_MS)
      }),
  },
  {
    name: 'after a lost connection it is back within a moment',
    source: 'docs/protocol.md, Close codes and refusals',
    run: (client) =>
      withClient(client, {}, async ({ visit, client: running }) => {
        const first = await visit(0)
        await running.shows(POLL, 1, 1, PROMPT_MS)
        first.socket.terminate()
        await visit(1, BACK_MS)
        await running.shows(POLL, 1, 2, PROMPT_MS)
      }),
  },
  {
    name: 'a server that accepts and drops is not hammered',
    source: 'docs/protocol.md, Close codes and refusals',
    isSlow: true,
    run: (client) =>
      withClient(client, { greet: ({ socket }) => socket.terminate() }, async ({ visit, server }) => {
        await visit(0)
        await delay(10_000)
        // full jitter between 0 and 250 ms, doubled each time: some six tries are expected
        assert.ok(server.visits.length <= 20, `${server.visits.length} tries in ten seconds`)
        assert.ok(server.visits.length >= 2, 'the client did not try again')
      }),
  },
  {
    name: 'after 1013 it comes back, later',
    source: 'docs/protocol.md, Close codes and refusals',
    isSlow: true,
    run: (client) =>
      withClient(
        client,
        { greet: (visit, index) => (index < 4 ? visit.socket.close(1013) : greetAll(visit, index)) },
        async (scene) => {
          const first = await scene.visit(0)
          const fifth = await scene.visit(4, 45_000)
          // four waits, of 1, 2, 4 and 8 s on average; with the backoff of a lost connection they would be 2 s together
          assert.ok(fifth.at - first.at > 3_000, `four tries took ${Math.round(fifth.at - first.at)} ms`)
        },
      ),
  },
  {
    name: 'after 4404 it does not come back, and says that the poll is gone',
    source: 'docs/protocol.md, Close codes and refusals',
    run: (client) =>
      withClient(
        client,
        { greet: ({ socket }) => socket.close(4404, 'no such poll') },
        async ({ visit, server, client: running }) => {
          await visit(0)
          await running.saysGone(POLL, PROMPT_MS)
          await delay(3_000)
          assert.equal(server.visits.length, 1)
        },
      ),
  },
  {
    name: 'a poll that is gone ends alone; the others go on, on the same socket',
    source: 'docs/protocol.md, Frames',
    run: (client) =>
      withClient(client, { polls: [POLL, 'tea-or-coffee'] }, async ({ visit, server, client: running }) => {
        const { send, subprotocol } = await visit(0)
        assert.equal(subprotocol, 'livetally.v1.1')
        send({ type: 'gone', poll: 'tea-or-coffee', code: 4404, reason: 'no such poll' })
        await running.saysGone('tea-or-coffee', PROMPT_MS)
        send(tallyFrame(POLL, 3))
        await running.shows(POLL, 1, 3, PROMPT_MS)
        assert.equal(server.visits.length, 1)
      }),
  },
  {
    name: 'a server that says nothing for 35 s is left for another connection',
    source: 'docs/protocol.md, What keeps a screen from going blank or backwards',
    isSlow: true,
    run: (client) =>
      withClient(client, {}, async ({ visit, client: running }) => {
        await visit(0)
        await running.shows(POLL, 1, 1, PROMPT_MS)
        await visit(1, 40_000)
        await running.shows(POLL, 1, 2, PROMPT_MS)
      }),
  },
]
