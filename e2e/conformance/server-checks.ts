/** What a server of the wire must do for any client, checked from outside. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { PollFrame, TallyFrame } from '../../shared/protocol/frames.ts'
import { type Check, NotHere, soon } from './check.ts'
import { connectPeer, PROMPT_MS, statusOf } from './peer.ts'
import { connectRaw, frameOf } from './raw-peer.ts'

export interface Server {
  /** Where its sockets are, as in wss://vote.example.org. */
  readonly url: string
  /** A poll that it has. */
  readonly poll: string
  /** Makes it leave, as its operator would; absent where that cannot be done. */
  readonly drain?: () => Promise<void>
}

const BEST = 'livetally.v1.1'
const PLAIN = 'livetally.v1'
/** A poll that no server has. */
const NOBODYS = 'a-poll-that-nobody-has-made'

const isTally = (poll: string) => (frame: { type: string; poll?: string }) => frame.type === 'tally' && frame.poll === poll

/** Opens a raw socket, writes the bytes, and expects to be closed with the code. */
async function expectClose({ url, poll }: Server, bytes: Uint8Array, code: number): Promise<void> {
  const peer = await connectRaw(url, poll, [`Sec-WebSocket-Protocol: ${BEST}`])
  peer.write(bytes)
  assert.equal(await peer.closeCode(), code, 'the close code is another one')
}

export const serverChecks: readonly Check<Server>[] = [
  {
    name: 'it picks the best subprotocol that both know',
    source: 'docs/protocol.md, Versions',
    async run({ url, poll }) {
      for (const [offered, picked] of [
        [[PLAIN, BEST], BEST],
        [[PLAIN], PLAIN],
        [['of-another-program', PLAIN], PLAIN],
      ] as const) {
        const peer = await connectPeer(url, [poll], offered)
        assert.equal(peer.socket.protocol, picked, `of ${offered.join(', ')} it picked another one`)
        peer.leave()
      }
    },
  },
  {
    name: 'it serves a client that offers no subprotocol',
    source: 'docs/protocol.md, Versions',
    async run({ url, poll }) {
      const peer = await connectPeer(url, [poll], [])
      assert.equal(peer.socket.protocol, '')
      await peer.next('tally', isTally(poll))
      peer.leave()
    },
  },
  {
    name: 'it sends the poll, then its tally, as soon as the socket is open',
    source: 'docs/protocol.md, Frames',
    async run({ url, poll }) {
      const peer = await connectPeer(url, [poll], [BEST])
      await peer.next('tally', isTally(poll))
      const kinds = peer.frames.filter(({ type }) => type === 'poll' || type === 'tally').map(({ type }) => type)
      assert.equal(kinds[0], 'poll', 'the tally came before the poll')
      peer.leave()
    },
  },
  {
    name: 'a tally has a count for every option, whose sum is the total, or no counts while results are hidden',
    source: 'docs/protocol.md, Frames',
    async run({ url, poll }) {
      const peer = await connectPeer(url, [poll], [BEST])
      const tally = (await peer.next('tally', isTally(poll))) as TallyFrame
      const { options, resultsVisible } = (await peer.next('poll', ({ type }) => type === 'poll')) as PollFrame
      peer.leave()
      if (!resultsVisible) return assert.equal(tally.counts, undefined, 'results are hidden, and the tally has counts')
      assert.deepEqual(Object.keys(tally.counts ?? {}).toSorted(), options.map(({ id }) => id).toSorted())
      assert.equal(
        Object.values(tally.counts ?? {}).reduce((sum, count) => sum + count, 0),
        tally.total,
      )
    },
  },
  {
    name: 'the same (epoch, version) is the same content on every socket',
    source: 'docs/protocol.md, Frames',
    async run({ url, poll }) {
      const told = new Map<string, string>()
      for (let sockets = 0; sockets < 5; sockets += 1) {
        const peer = await connectPeer(url, [poll], [BEST])
        const { epoch, version, counts, total } = (await peer.next('tally', isTally(poll))) as TallyFrame
        const content = JSON.stringify([total, Object.entries(counts ?? {}).toSorted(([a], [b]) => a.localeCompare(b))])
        assert.equal(told.get(`${epoch} ${version}`) ?? content, content)
        told.set(`${epoch} ${version}`, content)
        peer.leave()
      }
    },
  },
  {
    name: `of two polls, the one that there is not gets a gone frame (${BEST}), and the socket goes on`,
    source: 'docs/protocol.md, Versions',
    async run({ url, poll }) {
      const peer = await connectPeer(url, [NOBODYS, poll], [BEST])
      const gone = await peer.next('gone', (frame) => frame.type === 'gone' && frame.poll === NOBODYS)
      assert.ok(gone.type === 'gone' && gone.code === 4404, `the code is not 4404: ${JSON.stringify(gone)}`)
      await peer.next('tally', isTally(poll))
      peer.leave()
    },
  },
  {
    name: `of two polls, the one that there is not closes the socket with 4404 (${PLAIN})`,
    source: 'docs/protocol.md, Versions',
    async run({ url, poll }) {
      const peer = await connectPeer(url, [NOBODYS, poll], [PLAIN])
      assert.equal(await soon(peer.closed, PROMPT_MS, 'the socket was not closed'), 4404)
    },
  },
  {
    name: 'a poll that there is not closes the socket with 4404, or is 404 for a client without subprotocol',
    source: 'docs/protocol.md, Close codes and refusals',
    async run({ url }) {
      for (const subprotocol of [BEST, PLAIN]) {
        const peer = await connectPeer(url, [NOBODYS], [subprotocol])
        assert.equal(await soon(peer.closed, PROMPT_MS, 'the socket was not closed'), 4404)
      }
      assert.equal(await statusOf(url, [NOBODYS], []), 404)
    },
  },
  {
    name: 'the seventeenth poll gets a gone frame with a final code',
    source: 'docs/protocol.md',
    async run({ url, poll }) {
      const polls = [poll, ...Array.from({ length: 16 }, (_, index) => `${NOBODYS}-${index}`)]
      const peer = await connectPeer(url, polls, [BEST])
      await peer.next('gone frame', (frame) => frame.type === 'gone' && frame.poll === polls.at(-1) && frame.code >= 4400)
      await peer.next('tally', isTally(poll))
      peer.leave()
    },
  },
  {
    name: 'a handshake that names no poll, no path or no host of ours is refused with HTTP',
    source: 'docs/protocol.md, Close codes and refusals',
    async run({ url, poll }) {
      assert.equal(await statusOf(url, [], []), 400)
      await assert.rejects(connectRaw(url, poll, ['Host: twice.example.org']), /answered HTTP\/1\.1 400/)
    },
  },
  {
    name: 'data of a client, text or binary, closes the socket with 1008',
    source: 'docs/protocol.md',
    async run(server) {
      await expectClose(server, frameOf({ opcode: 1, payload: Buffer.from('{"vote":"cats"}') }), 1008)
      await expectClose(server, frameOf({ opcode: 2, payload: Buffer.of(0, 1, 2) }), 1008)
    },
  },
  {
    name: 'a ping is answered with its payload',
    source: 'RFC 6455 §5.5.3',
    async run({ url, poll }) {
      const peer = await connectPeer(url, [poll], [BEST])
      const ponged = once(peer.socket, 'pong')
      peer.socket.ping('are you there?')
      const [payload] = (await soon(ponged, PROMPT_MS, 'there was no pong')) as [Buffer]
      assert.equal(payload.toString(), 'are you there?')
      peer.leave()
    },
  },
  {
    name: 'a flood of pings closes the socket with 1008',
    source: 'docs/protocol.md',
    async run(server) {
      await expectClose(server, Buffer.concat(Array.from({ length: 100 }, () => frameOf({ opcode: 9 }))), 1008)
    },
  },
  {
    name: 'bytes that are no frame of a client close the socket with 1002',
    source: 'RFC 6455 §5.1, §5.2, §5.5',
    async run(server) {
      const long = new Uint8Array(126)
      for (const wrong of [
        { opcode: 9, masked: false },
        { opcode: 9, reserved: 0x40 },
        { opcode: 9, payload: long },
        { opcode: 9, fin: false },
        { opcode: 3 },
        { opcode: 0 },
        { opcode: 8, payload: Buffer.of(0x03, 0xed) },
      ])
        await expectClose(server, frameOf(wrong), 1002)
    },
  },
  {
    name: 'a close is answered with its code, and the connection ends',
    source: 'RFC 6455 §5.5.1, §7.1.1',
    async run(server) {
      await expectClose(server, frameOf({ opcode: 8, payload: Buffer.of(0x03, 0xe8) }), 1000)
    },
  },
  {
    name: 'no compression is used that the client has not offered',
    source: 'RFC 6455 §9.1',
    async run({ url, poll }) {
      const peer = await connectPeer(url, [poll], [BEST])
      assert.equal(peer.socket.extensions, '')
      peer.leave()
    },
  },
  {
    name: 'a socket on which nothing happens gets an alive frame within 17 s, with the time of the last read',
    source: 'docs/protocol.md, Frames',
    isSlow: true,
    async run({ url, poll }) {
      const peer = await connectPeer(url, [poll], [BEST])
      await peer.next('alive frame', ({ type }) => type === 'alive' || type === 'tally', { from: 2, ms: 17_000 })
      peer.leave()
    },
  },
  {
    name: 'a server that leaves says so, and closes a socket that stays with 1012 in the time that it gave',
    source: 'docs/protocol.md, Frames',
    async run({ url, poll, drain }) {
      if (drain === undefined) throw new NotHere('--drain says how to make the server leave')
      const peer = await connectPeer(url, [poll], [BEST])
      await peer.next('tally', isTally(poll))
      await drain()
      const notice = await peer.next('drain frame', ({ type }) => type === 'drain', { ms: 60_000 })
      assert.ok(notice.type === 'drain')
      const code = await soon(peer.closed, notice.closeAfterMs + PROMPT_MS, 'the socket was not closed')
      assert.equal(code, 1012)
    },
  },
]
