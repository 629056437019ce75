/** Bytes that no client of ours would send, at both ways in: whole, as plain handshakes come, and in pieces, as everything may. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { after, before as beforeAll, describe, test } from 'node:test'
import fc from 'fast-check'
import { SERVER_OPTIONS } from '../shared/lifecycle/http-server.ts'
import { connectRaw, frameOf } from './conformance/raw-peer.ts'
import { createVoter, startCluster, type Cluster } from './support/cluster.ts'
import { fuzz } from './support/fuzz.ts'
import { watch } from './support/watcher.ts'

const POLL = {
  poll: 'cats-or-dogs',
  question: 'Cats or dogs?',
  options: [
    { id: 'cats', label: 'Cats' },
    { id: 'dogs', label: 'Dogs' },
  ],
}
/** How many connections are tried at a time. */
const AT_ONCE = 20
/** How long a connection may stay open after its last bytes, in ms, before this side closes it. */
const PATIENCE_MS = 250
/** No limit of one address, since all of this comes from one. */
const UNLIMITED = {
  MAX_SOCKETS_PER_ADDRESS: '5000',
  HANDSHAKES_PER_SECOND: '5000',
  VOTES_PER_ADDRESS: '0',
  VOTERS_PER_ADDRESS: '0',
  HISTORIES_PER_ADDRESS: '0',
}

describe('hostile bytes', { timeout: 3_600_000 }, () => {
  let cluster: Cluster
  let url: string
  /** Node's own server, with our settings. */
  let reference: Server
  beforeAll(async () => {
    cluster = await startCluster({ env: UNLIMITED })
    url = cluster.gateways[0]?.url ?? ''
    assert.equal((await cluster.admin('POST', '/api/polls', POLL)).status, 201)
    reference = createServer(SERVER_OPTIONS, (_, response) => response.end())
    reference.on('upgrade', (_, stream) => stream.end('HTTP/1.1 101 Switching Protocols\r\n\r\n'))
    reference.listen(0, '127.0.0.1')
    await once(reference, 'listening')
  })
  after(async () => {
    reference.closeAllConnections()
    reference.close()
    await cluster[Symbol.asyncDispose]()
  })

  test('in place of requests get an answer that is no fault of ours, the same at both ways in, or their end', async () => {
    const { port } = new URL(url)
    const referencePort = (reference.address() as AddressInfo).port
    const statuses = new Map<string, number>()
    await unharmed(async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(requests, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (batch) => {
          await Promise.all(
            batch.map(async (bytes) => {
              const [whole, inPieces, byNode] = await Promise.all([
                answerTo(Number(port), bytes, false),
                answerTo(Number(port), bytes, true),
                answerTo(referencePort, bytes, false),
              ])
              statuses.set(whole, (statuses.get(whole) ?? 0) + 1)
              const what = JSON.stringify({ bytes: bytes.toString('latin1'), whole, inPieces, byNode })
              for (const status of [whole, inPieces]) assert.match(status, /^(?:[1-4]\d\d|none)$/, what)
              // a request that is not answered in time, or has no end, gets none at either
              if (whole !== 'none' && inPieces !== 'none') assert.equal(inPieces, whole, what)
              // what Node's parser refuses is refused; what it takes may still be refused for other reasons
              if (/^4\d\d$/.test(byNode)) assert.match(whole, /^(?:4\d\d|none)$/, what)
            }),
          )
        }),
        { ...fuzz(50), endOnFailure: true },
      )
    })
    for (const status of ['101', '200', '400', '404']) assert.ok(statuses.has(status), JSON.stringify([...statuses]))
  })

  test('in place of frames get a close code that the standard names, or are passed over', async () => {
    const codes = new Map<string, number>()
    await unharmed(async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(frames, { minLength: AT_ONCE, maxLength: AT_ONCE }), async (batch) => {
          await Promise.all(
            batch.map(async (bytes) => {
              const peer = await connectRaw(url.replace('http', 'ws'), POLL.poll)
              peer.write(bytes)
              // a ping is answered and a beginning is waited for, so that the socket stays; this one ends it, or comes too late
              peer.write(frameOf({ opcode: 8, payload: Buffer.of(0x03, 0xe8) }))
              peer.end()
              const code = String(await peer.closeCode())
              codes.set(code, (codes.get(code) ?? 0) + 1)
              assert.match(
                code,
                /^(?:1000|1002|1006|1007|1008|1009|[34]\d{3}|100[13]|101[0-4]|undefined)$/,
                bytes.toString('hex'),
              )
            }),
          )
        }),
        { ...fuzz(75), endOnFailure: true },
      )
    })
    for (const code of ['1000', '1002', '1008']) assert.ok(codes.has(code), JSON.stringify([...codes]))
  })

  /** Runs the work, then checks that the processes live and hold no more than before, and that the database has no row more. */
  async function unharmed(work: () => Promise<void>): Promise<void> {
    const screen = await watch(url, [POLL.poll])
    const polls = async () => await (await fetch(`${url}/api/polls`)).text()
    const before = { polls: await polls(), rss: await memoryOf(cluster) }
    await work()
    assert.equal(await polls(), before.polls)
    for (const [index, bytes] of (await memoryOf(cluster)).entries()) {
      const grown = bytes - (before.rss[index] ?? 0)
      assert.ok(grown < 150 * 1_048_576, `a process has grown by ${Math.round(grown / 1_048_576)} MiB`)
    }
    // and whoever looks on sees the next vote
    const total = screen.tallies.at(-1)?.total ?? 0
    const voter = await createVoter(url, POLL.poll)
    assert.equal((await voter.vote(url, 'cats')).status, 200)
    await screen.until((frame) => frame.type === 'tally' && frame.total === total + 1)
    screen.close()
  }
})

const BASE = [
  `GET /ws?poll=${POLL.poll} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  `GET /api/polls/${POLL.poll} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
  `GET / HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n`,
  `PUT /api/polls/${POLL.poll}/vote HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 17\r\nConnection: close\r\n\r\n{"option":"cats"}`,
  `POST /api/polls HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\n{}\r\n0\r\n\r\n`,
].map((text) => Buffer.from(text, 'latin1'))

/** What is put into a request: what parsers stumble over. */
const MORSELS = fc.oneof(
  fc.constantFrom(
    '\r\n',
    '\n',
    '\r',
    ' ',
    '\t',
    ':',
    '\0',
    '\r\n\r\n',
    '\xff',
    '%',
    '%00',
    '/../',
    '//',
    '?',
    '#',
    '\u007f',
    'Host: a\r\n',
    'Content-Length: 5\r\n',
    'Content-Length: -1\r\n',
    'Transfer-Encoding: chunked\r\n',
    'Connection: close\r\n',
    'Upgrade: websocket\r\n',
    'Expect: 100-continue\r\n',
    `X: ${'x'.repeat(9_000)}\r\n`,
    'a'.repeat(300),
    '\x16\x03\x01\x02\x00',
  ),
  fc.string({ unit: 'binary', maxLength: 8 }),
)
interface Edit {
  /** Counted in bytes, or in lines. */
  readonly at: number
  readonly isLine: boolean
  readonly drop: number
  readonly put: string
}
const EDITS: fc.Arbitrary<Edit[]> = fc.array(
  fc.record({ at: fc.nat(400), isLine: fc.boolean(), drop: fc.oneof(fc.constant(0), fc.nat(6), fc.nat(200)), put: MORSELS }),
  { maxLength: 3 },
)
/** A request of ours with a few changes, or anything. */
const requests: fc.Arbitrary<Buffer<ArrayBuffer>> = fc.oneof(
  { weight: 9, arbitrary: fc.tuple(fc.constantFrom(...BASE), EDITS).map(([base, edits]) => edits.reduce(edited, base)) },
  fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
)

/** One frame or several, right and wrong ones, or anything. */
const frames: fc.Arbitrary<Buffer<ArrayBuffer>> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .array(
        fc.record({
          opcode: fc.oneof(fc.constantFrom(8, 9, 10), fc.nat(15)),
          payload: fc.oneof(
            fc.uint8Array({ maxLength: 4 }),
            fc.uint8Array({ maxLength: 125 }),
            fc.uint8Array({ minLength: 126, maxLength: 400 }),
          ),
          masked: fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, fc.constant(false)),
          fin: fc.oneof({ weight: 5, arbitrary: fc.constant(true) }, fc.constant(false)),
          reserved: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.constantFrom(0x10, 0x20, 0x40, 0x70)),
        }),
        { minLength: 1, maxLength: 4 },
      )
      .map((all) => Buffer.concat(all.map(frameOf))),
  },
  fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
)

function edited(bytes: Buffer<ArrayBuffer>, { at, isLine, drop, put }: Edit): Buffer<ArrayBuffer> {
  const starts = Array.from(bytes.toString('latin1').matchAll(/(?<=\n)/g), (match) => match.index)
  const from = (isLine ? starts[at % starts.length] : undefined) ?? at % (bytes.length + 1)
  return Buffer.concat([bytes.subarray(0, from), Buffer.from(put, 'latin1'), bytes.subarray(from + drop)])
}

/** The status of the first answer, or `none`. In pieces, the first byte comes alone. */
async function answerTo(port: number, bytes: Buffer, inPieces: boolean): Promise<string> {
  const client = connect({ port, host: '127.0.0.1', noDelay: true })
  let answer = ''
  const ended = once(client, 'close').catch(() => {})
  client.on('error', () => {})
  const answered = new Promise<void>((resolve) => {
    client.on('data', (chunk: Buffer) => {
      answer += chunk.toString('latin1')
      if (/^HTTP\/1\.1 (?!100)\d{3}/.test(answer) || answer.length > 64) resolve()
    })
  })
  await once(client, 'connect')
  if (inPieces) {
    client.write(bytes.subarray(0, 1))
    await new Promise((resolve) => setTimeout(resolve, 2))
    client.write(bytes.subarray(1))
  } else client.write(bytes)
  // whoever waits for more bytes gets no more
  const patience = setTimeout(() => client.end(), PATIENCE_MS)
  const cut = setTimeout(() => client.destroy(), 12_000)
  await Promise.race([answered, ended])
  clearTimeout(patience)
  clearTimeout(cut)
  client.destroy()
  return /^HTTP\/1\.1 (\d{3})/.exec(answer.replace(/^HTTP\/1\.1 100 Continue\r\n\r\n/, ''))?.[1] ?? 'none'
}

/** The resident memory of each process, in bytes (proc(5)). */
function memoryOf({ gateways, backends }: Cluster): Promise<number[]> {
  return Promise.all(
    [...gateways, ...backends].map(async ({ child }) => {
      const status = await readFile(`/proc/${child.pid}/status`, 'utf8')
      return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) * 1_024
    }),
  )
}
