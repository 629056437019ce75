/**
 * The audience on Node, for machines without a C compiler. Commands and answers are those of load.c, which says what they mean;
 * this one costs several times as much, and cannot choose the kernel's buffers.
 */
import { once } from 'node:events'
import { get } from 'node:http'
import { connect, type Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'

interface Client {
  socket: Socket | undefined
  state: 'connecting' | 'open' | 'ended'
  live: boolean
  tallies: number
  counted: number
  since: number
  carry: Buffer | undefined
}

const SOURCES = 200
const RETRY_MS = 250
const VERSION = Buffer.from('"version":')
const HEAD_END = Buffer.from('\r\n\r\n')

const port = Number(process.argv[2])
const engineIo = process.argv.length > 3
const clients: Client[] = []
let [live, pending, waiting, ended, refused, failed, tallies, frames, bytes, lastAt] = Array.from({ length: 10 }, () => 0) as Ten
let wanted = 1
let target = '/'
let ages: number[] = []
let setups: number[] = []
/** Called whenever anything has arrived or ended. */
let look = () => {}

type Ten = [number, number, number, number, number, number, number, number, number, number]

const nowUs = () => Number(process.hrtime.bigint() / 1_000n)

function open(client: Client, index: number): void {
  Object.assign(client, { state: 'connecting', live: false, tallies: 0, since: nowUs(), carry: undefined })
  pending++
  const socket = connect({ port, host: '127.0.0.1', localAddress: `127.0.0.${2 + (index % SOURCES)}`, noDelay: true })
  client.socket = socket
  let again = false
  socket.on('connect', () =>
    socket.write(
      `GET ${target} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        `Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    ),
  )
  socket.on('data', (data: Buffer) => {
    bytes += data.length
    let rest = client.carry === undefined ? data : Buffer.concat([client.carry, data])
    if (client.state === 'connecting') {
      const end = rest.indexOf(HEAD_END)
      if (end < 0) return void (client.carry = rest)
      again = rest.subarray(0, 12).equals(Buffer.from('HTTP/1.1 503'))
      if (!rest.subarray(0, 12).equals(Buffer.from('HTTP/1.1 101'))) return void socket.destroy()
      client.state = 'open'
      rest = rest.subarray(end + 4)
    }
    const used = takeFrames(client, socket, rest)
    client.carry = used === rest.length ? undefined : rest.subarray(used)
    look()
  })
  socket.on('error', () => {})
  socket.on('close', () => {
    if (client.socket !== socket || client.state === 'ended') return
    if (client.live) {
      live--
      ended++
    } else pending--
    client.live = false
    client.state = 'ended'
    if (again) {
      refused++
      waiting++
      setTimeout(() => {
        waiting--
        open(client, index)
      }, RETRY_MS)
    } else failed++
    look()
  })
}

function takeFrames(client: Client, socket: Socket, data: Buffer): number {
  let at = 0
  const now = nowUs()
  while (data.length - at >= 2) {
    let head = 2
    let size = (data[at + 1] ?? 0) & 0x7f
    if (size === 126) {
      head = 4
      if (data.length - at < head) break
      size = data.readUInt16BE(at + 2)
    } else if (size === 127) {
      socket.destroy()
      break
    }
    if (data.length - at < head + size) break
    const payload = data.subarray(at + head, at + head + size)
    const opcode = (data[at] ?? 0) & 0x0f
    frames++
    if (opcode === 1) onText(client, socket, payload, now)
    else if (opcode === 9) sendControl(socket, 10, payload)
    else if (opcode === 8) socket.destroy()
    at += head + size
  }
  return at
}

function onText(client: Client, socket: Socket, text: Buffer, now: number): void {
  if (engineIo && text[0] === 0x30) return sendControl(socket, 1, Buffer.from('40'))
  if (engineIo && text[0] === 0x32) return sendControl(socket, 1, Buffer.from('3'))
  const found = text.indexOf(VERSION)
  if (found < 0) return
  tallies++
  client.counted++
  client.tallies++
  lastAt = now
  ages.push(now - Number.parseInt(text.toString('latin1', found + VERSION.length, found + VERSION.length + 17), 10))
  if (client.tallies < wanted || client.live) return
  client.live = true
  live++
  pending--
  setups.push(now - client.since)
}

/** A masked frame, as clients have to send it; the mask is all zeros. */
function sendControl(socket: Socket, opcode: number, data: Buffer): void {
  socket.write(Buffer.concat([Buffer.from([0x80 | opcode, 0x80 | data.length, 0, 0, 0, 0]), data]))
}

async function until(done: () => boolean, timeoutMs: number): Promise<void> {
  const endsAt = performance.now() + timeoutMs
  while (!done() && performance.now() < endsAt) {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(100, endsAt - performance.now()))
      look = () => {
        clearTimeout(timer)
        resolve()
      }
    })
  }
  look = () => {}
}

function quantiles(values: number[]) {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (q: number) => sorted[Math.floor(q * (sorted.length - 1))] ?? 0
  return { p50Us: at(0.5), p99Us: at(0.99), maxUs: at(1) }
}

const commands: Record<string, (args: string[]) => unknown> = {
  async connect([count, inFlight, tallyCount, , , timeoutMs, path = '/']) {
    const before = { live, refused, failed }
    const goal = clients.length + Number(count)
    const startedAt = nowUs()
    wanted = Number(tallyCount)
    target = path
    setups = []
    const fill = () => {
      while (clients.length < goal && pending < Number(inFlight)) {
        const client: Client = {
          socket: undefined,
          state: 'connecting',
          live: false,
          tallies: 0,
          counted: 0,
          since: 0,
          carry: undefined,
        }
        clients.push(client)
        open(client, clients.length - 1)
      }
      return clients.length === goal && pending === 0 && waiting === 0
    }
    await until(fill, Number(timeoutMs))
    const arrived = { live, opened: live - before.live, refused: refused - before.refused, failed: failed - before.failed }
    return { ...arrived, unfinished: pending + waiting, us: nowUs() - startedAt, ...quantiles(setups) }
  },
  reset() {
    tallies = frames = bytes = lastAt = ended = 0
    ages = []
    for (const client of clients) client.counted = 0
    return {}
  },
  async await([count, timeoutMs]) {
    await until(() => tallies >= Number(count), Number(timeoutMs))
    return { tallies, lastAt }
  },
  async run([ms]) {
    await delay(Number(ms))
    return {}
  },
  report() {
    const counts = clients.filter((client) => client.live).map(({ counted }) => counted)
    const least = counts.reduce((a, b) => Math.min(a, b), counts[0] ?? 0)
    const most = counts.reduce((a, b) => Math.max(a, b), 0)
    return { live, ended, tallies, frames, bytes, least, most, ...quantiles(ages) }
  },
  stall([count]) {
    for (const client of clients.slice(0, Number(count))) client.socket?.pause()
    return {}
  },
  close() {
    for (const client of clients.splice(0)) {
      client.state = 'ended'
      client.socket?.resetAndDestroy()
    }
    live = pending = waiting = 0
    return {}
  },
  async probe([ms, gapMs, path]) {
    const endsAt = performance.now() + Number(ms)
    const times: number[] = []
    let bad = 0
    while (performance.now() < endsAt) {
      const startedAt = nowUs()
      const [answer] = (await once(get({ port, host: '127.0.0.1', path, agent: false }), 'response').catch(() => [])) as [
        { statusCode?: number; resume(): void }?,
      ]
      answer?.resume()
      if (answer?.statusCode !== 200) bad++
      times.push(nowUs() - startedAt)
      await delay(Math.max(0, Number(gapMs) - (nowUs() - startedAt) / 1_000))
    }
    return { probes: times.length, bad, ...quantiles(times) }
  },
}

for await (const line of createInterface(process.stdin)) {
  const [name = '', ...args] = line.split(' ')
  process.stdout.write(`${JSON.stringify((await commands[name]?.(args)) ?? { error: 'unknown command' })}\n`)
}
process.exit(0)
