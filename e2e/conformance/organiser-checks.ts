/** What a server of the wire must do when its polls change: checked with polls of the check's own, which an admin token allows. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { isNewer } from '../../shared/protocol/order.ts'
import type { PollFrame, TallyFrame } from '../../shared/protocol/frames.ts'
import { type Check, soon } from './check.ts'
import { connectPeer, type Peer, PROMPT_MS } from './peer.ts'

export interface OrganisedServer {
  /** Where its sockets are, as in wss://vote.example.org; its API is there as well. */
  readonly url: string
  readonly adminToken: string
}

const BEST = 'livetally.v1.1'
const POLL = {
  question: 'Does this server keep the wire?',
  options: [
    { id: 'yes', label: 'Yes' },
    { id: 'no', label: 'No' },
  ],
}

/** A poll of the check's own, open, with a socket that follows it. */
interface Scene {
  readonly poll: string
  readonly peer: Peer
  admin(method: string, path: string, body?: unknown): Promise<void>
  /** Votes as somebody who has not voted yet. */
  vote(option: string): Promise<void>
  /** Resolves to the first frame after the given number of frames that matches. */
  tally(what: string, matches: (tally: TallyFrame) => boolean): Promise<TallyFrame>
  definition(what: string, matches: (poll: PollFrame) => boolean): Promise<PollFrame>
}

/** Runs `play` with a poll that is removed afterwards. */
export async function withPoll({ url, adminToken }: OrganisedServer, play: (scene: Scene) => Promise<void>): Promise<void> {
  const api = url.replace(/^ws/, 'http')
  const poll = `conformance-${randomUUID().slice(0, 8)}`
  const call = async (method: string, path: string, headers: Record<string, string>, body?: unknown) => {
    const response = await fetch(new URL(path, api), {
      method,
      headers: { ...headers, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      signal: AbortSignal.timeout(10_000),
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    assert.ok(response.ok, `${method} ${path} was answered ${response.status}: ${text}`)
    return response
  }
  const admin = async (method: string, path: string, body?: unknown) => {
    await call(method, path, { authorization: `Bearer ${adminToken}` }, body)
  }
  await admin('POST', '/api/polls', { ...POLL, poll })
  const peer = await connectPeer(url, [poll], [BEST])
  try {
    await play({
      poll,
      peer,
      admin,
      async vote(option) {
        const greeting = await call('GET', `/api/polls/${poll}`, {})
        const cookie = greeting.headers.getSetCookie()[0]?.split(';', 1)[0] ?? ''
        await call('PUT', `/api/polls/${poll}/vote`, { cookie }, { option })
      },
      tally: async (what, matches) => (await peer.next(what, (frame) => frame.type === 'tally' && matches(frame))) as TallyFrame,
      definition: async (what, matches) =>
        (await peer.next(what, (frame) => frame.type === 'poll' && matches(frame))) as PollFrame,
    })
  } finally {
    peer.leave()
    await admin('DELETE', `/api/polls/${poll}`).catch(() => {}) // a check may have removed it
  }
}

/** Every tally is newer than the one before it. */
function assertInOrder(peer: Peer): void {
  const tallies = peer.frames.filter((frame) => frame.type === 'tally')
  for (const [index, tally] of tallies.entries()) {
    const before = tallies[index - 1]
    assert.ok(before === undefined || isNewer(tally, before), `tally ${index} is not newer than the one before it`)
  }
}

export const organiserChecks: readonly Check<OrganisedServer>[] = [
  {
    name: 'an acknowledged vote is in a newer tally at once',
    source: 'docs/protocol.md, Frames',
    run: (server) =>
      withPoll(server, async ({ peer, vote, tally }) => {
        await tally('first tally', ({ total }) => total === 0)
        await vote('yes')
        await tally('tally with the vote', ({ total, counts }) => total === 1 && counts?.['yes'] === 1)
        await vote('no')
        await tally('tally with both votes', ({ total }) => total === 2)
        assertInOrder(peer)
      }),
  },
  {
    name: 'one poll has 20 tallies a second at most, and the last one shows everything',
    source: 'docs/protocol.md, Frames',
    run: (server) =>
      withPoll(server, async ({ peer, vote, tally }) => {
        const startedAt = performance.now()
        await Promise.all(
          Array.from({ length: 60 }, async (_, index) => {
            await delay(index * 20)
            await vote('yes')
          }),
        )
        await tally('tally with all votes', ({ total }) => total === 60)
        const seconds = Math.ceil((performance.now() - startedAt) / 1_000)
        const tallies = peer.frames.filter(({ type }) => type === 'tally').length
        assert.ok(tallies <= 20 * (seconds + 1), `${tallies} tallies in ${seconds} s`)
        assertInOrder(peer)
      }),
  },
  {
    name: 'an edit is a definition of a higher version',
    source: 'docs/protocol.md, Frames',
    run: (server) =>
      withPoll(server, async ({ poll, admin, definition }) => {
        const before = await definition('definition', () => true)
        await admin('PATCH', `/api/polls/${poll}`, { question: 'And now?' })
        const after = await definition('definition with the new question', ({ question }) => question === 'And now?')
        assert.ok(
          isNewer(
            { epoch: after.epoch ?? 0, version: after.version ?? 0 },
            { epoch: before.epoch ?? 0, version: before.version ?? 0 },
          ),
        )
      }),
  },
  {
    name: 'hidden results are a definition that says so, and tallies without counts',
    source: 'docs/protocol.md, Frames',
    run: (server) =>
      withPoll(server, async ({ poll, admin, vote, definition, tally }) => {
        await admin('PATCH', `/api/polls/${poll}`, { visibility: 'after-close' })
        await definition('definition with hidden results', ({ resultsVisible }) => !resultsVisible)
        await vote('yes')
        await tally('tally without counts', ({ total, counts }) => total === 1 && counts === undefined)
        await admin('PATCH', `/api/polls/${poll}`, { state: 'closed' })
        await definition('definition of a closed poll', ({ state, resultsVisible }) => state === 'closed' && resultsVisible)
        await tally('tally with counts again', ({ counts }) => counts?.['yes'] === 1)
      }),
  },
  {
    name: 'a reset begins a new epoch, with nothing counted',
    source: 'docs/protocol.md, Frames',
    run: (server) =>
      withPoll(server, async ({ poll, peer, admin, vote, tally }) => {
        await vote('yes')
        const { epoch } = await tally('tally with the vote', ({ total }) => total === 1)
        await admin('POST', `/api/polls/${poll}/reset`)
        const after = await tally('tally of a new epoch', (frame) => frame.epoch > epoch)
        assert.equal(after.total, 0)
        assertInOrder(peer)
      }),
  },
  {
    name: 'a poll that is removed says that it is gone',
    source: 'docs/protocol.md, Versions',
    run: (server) =>
      withPoll(server, async ({ poll, peer, admin }) => {
        await admin('DELETE', `/api/polls/${poll}`)
        const gone = peer.next('gone frame', (frame) => frame.type === 'gone' && frame.poll === poll && frame.code === 4404)
        const closed = peer.closed.then((code) => assert.equal(code, 4404))
        await soon(Promise.any([gone, closed]), PROMPT_MS, 'nothing said that the poll is gone')
      }),
  },
]
