/** Clients that are slow, broken or hostile. Whatever they do, everybody else must not notice. */
import { randomBytes } from 'node:crypto'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { connectRaw, frameOf, type RawPeer } from '../conformance/raw-peer.ts'
import type { Journal } from './journal.ts'
import { POLLS } from './organiser.ts'
import type { Pace } from './pace.ts'

export interface Strangers {
  /** Clients that open a socket for every poll and read nothing, for so long. */
  doNotRead(clients: number, forMs: number): Promise<void>
  /** Handshakes that break off, stay silent, come byte by byte, want another protocol, or have too many headers. */
  breakOffUpgrades(each: number): Promise<void>
  /** Sockets that send frames which the standard forbids, or thousands of those it allows. */
  sendWrongFrames(each: number): Promise<void>
}

/** A server lets go of a handshake within this, the time between its checks included. */
const LET_GO_MS = 12_000
const SLOW_EVERY_MS = 200
const FLOOD = 1_000
const LOST = 'reset'
/** Where the server has ended the connection with bytes unread, its close frame may be lost. */
const FRAME_ENDS = new Set(['1002', '1007', '1008', '1009', LOST])

const unmasked = frameOf({ opcode: 1, payload: Buffer.from('x'), masked: false })
const WRONG_FRAMES: Readonly<Record<string, Buffer>> = {
  unmasked,
  'with a reserved bit': frameOf({ opcode: 1, payload: Buffer.from('x'), reserved: 0x40 }),
  'of an unknown sort': frameOf({ opcode: 3 }),
  'with half a character': frameOf({ opcode: 1, payload: Buffer.of(0xc3) }),
  'of sixty kilobytes': frameOf({ opcode: 2, payload: Buffer.alloc(60_000) }),
  'a continuation of nothing': frameOf({ opcode: 0, payload: Buffer.from('x') }),
  'a ping in pieces': frameOf({ opcode: 9, fin: false }),
}
/** Nothing forbids them. */
const FLOODS = [
  Buffer.concat(Array.from({ length: FLOOD }, () => frameOf({ opcode: 9, payload: Buffer.alloc(100) }))),
  Buffer.concat(Array.from({ length: FLOOD }, (_, number) => frameOf({ opcode: number === 0 ? 1 : 0, fin: false }))),
]

export function createStrangers(url: string, journal: Journal, pace: Pace): Strangers {
  const { host, hostname, port } = new URL(url)
  const open = async () => {
    const socket = connect({ port: Number(port), host: hostname, noDelay: true })
    socket.on('error', () => {})
    await happens(socket, 'connect')
    return socket
  }
  const upgrade = (protocol = 'websocket', more: readonly string[] = []) =>
    [
      `GET /ws?${POLLS.map((poll) => `poll=${poll}`).join('&')} HTTP/1.1`,
      `Host: ${host}`,
      'Connection: Upgrade',
      `Upgrade: ${protocol}`,
      'Sec-WebSocket-Version: 13',
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
      ...more,
      '\r\n',
    ].join('\r\n')

  /** Whether the server ends it in time; what it sends before is passed over. */
  const isLetGo = async (socket: Socket) => {
    const over = new AbortController()
    socket.resume()
    if (!socket.closed) {
      const late = delay(LET_GO_MS * pace.slowness, undefined, { signal: over.signal }).catch(() => {})
      await Promise.race([happens(socket, 'close'), late])
      over.abort()
    }
    const { closed } = socket
    socket.destroy()
    return closed
  }
  const trickle = async (socket: Socket) => {
    for (const byte of upgrade()) {
      if (socket.destroyed) return
      socket.write(byte)
      await delay(SLOW_EVERY_MS)
    }
  }
  /** The close code that comes, or what came in its place. */
  const closeCodeOf = async (peer: RawPeer): Promise<string> => {
    for (let tries = Math.ceil(pace.slowness); ; tries -= 1) {
      try {
        return String(await peer.closeCode())
      } catch (error) {
        if (String(error).includes('ECONNRESET')) return LOST
        if (tries === 1) return String(error)
      }
    }
  }
  const many = async (number: number, each: () => Promise<void>) => {
    await Promise.all(Array.from({ length: number }, each))
  }

  return {
    async doNotRead(clients, forMs) {
      const sockets: Socket[] = []
      await many(clients, async () => {
        const socket = await open()
        sockets.push(socket.pause())
        socket.write(upgrade())
      })
      await delay(forMs)
      for (const socket of sockets) socket.destroy()
    },
    async breakOffUpgrades(each) {
      let kept = 0
      const mustBeLetGo = async (begin: (socket: Socket) => unknown) => {
        const socket = await open()
        void begin(socket)
        if (!(await isLetGo(socket))) kept += 1
      }
      await Promise.all([
        many(each, async () => {
          const socket = await open()
          socket.write(upgrade())
          socket.resetAndDestroy()
        }),
        many(each, async () => {
          const socket = await open()
          socket.write(upgrade('another'))
          await Promise.race([happens(socket, 'data'), delay(1_000)])
          socket.resetAndDestroy()
        }),
        many(each, () => mustBeLetGo((socket) => socket.write(upgrade().slice(0, 40)))),
        many(each, () => mustBeLetGo(trickle)),
        many(each, () =>
          mustBeLetGo((socket) =>
            socket.write(
              upgrade(
                'websocket',
                Array.from({ length: 2_000 }, (_, number) => `x-${number}: 1`),
              ),
            ),
          ),
        ),
      ])
      if (kept > 0) journal.violate('a handshake that does not end is not let go', `${kept} of ${3 * each}`)
    },
    async sendWrongFrames(each) {
      const codes = new Map<string, number>()
      const send = async (sort: string, bytes: Buffer) => {
        const peer = await connectRaw(url.replace('http', 'ws'), POLLS[0] ?? '').catch(() => undefined)
        if (peer === undefined) return
        peer.write(bytes)
        if (sort === '') peer.end()
        const code = await closeCodeOf(peer)
        codes.set(`${sort} ${code}`, (codes.get(`${sort} ${code}`) ?? 0) + 1)
        if (sort !== '' && !FRAME_ENDS.has(code)) journal.violate('a wrong frame did not end its socket', `one ${sort}: ${code}`)
      }
      await many(each, async () => {
        await Promise.all(Object.entries(WRONG_FRAMES).map(([sort, bytes]) => send(sort, bytes)))
        await Promise.all(FLOODS.map((bytes) => send('', bytes)))
      })
      journal.write({ closeCodes: Object.fromEntries(codes) })
    },
  }
}

/** Resolves once it does, or the socket is closed. */
function happens(socket: Socket, event: 'connect' | 'data' | 'close'): Promise<void> {
  return new Promise((resolve) => {
    for (const name of [event, 'close']) socket.once(name, () => resolve())
  })
}
