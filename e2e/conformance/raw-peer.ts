/** A WebSocket client that writes any bytes, right or wrong ones (RFC 6455 §5). */
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { soon } from './check.ts'
import { PROMPT_MS } from './peer.ts'

export interface RawPeer {
  write(bytes: Uint8Array): void
  /** Sends no more. */
  end(): void
  /** Resolves to the code of the close frame that comes, or to `undefined` when the connection ends without one. */
  closeCode(): Promise<number | undefined>
}

export interface FrameOptions {
  readonly opcode: number
  readonly payload?: Uint8Array
  readonly masked?: boolean
  readonly fin?: boolean
  /** The three reserved bits, as their value in the first byte. */
  readonly reserved?: number
}

/** One frame of fewer than 65 536 bytes (RFC 6455 §5.2). */
export function frameOf({ opcode, payload = new Uint8Array(), masked = true, fin = true, reserved = 0 }: FrameOptions): Buffer {
  const length = payload.length
  const head = Buffer.alloc(length < 126 ? 2 : 4)
  head[0] = (fin ? 0x80 : 0) | reserved | opcode
  if (length < 126) head[1] = length
  else {
    head[1] = 126
    head.writeUInt16BE(length, 2)
  }
  if (!masked) return Buffer.concat([head, payload])
  head[1] = (head[1] ?? 0) | 0x80
  const key = randomBytes(4)
  return Buffer.concat([head, key, payload.map((byte, index) => byte ^ (key[index % 4] ?? 0))])
}

/** Opens a socket for a poll. Rejects unless the server answers 101. */
export async function connectRaw(url: string, poll: string, headers: readonly string[] = []): Promise<RawPeer> {
  const { protocol, hostname, port, host } = new URL(url)
  const isTls = protocol === 'wss:'
  const at = { host: hostname.replaceAll(/[[\]]/g, ''), port: Number(port || (isTls ? 443 : 80)) }
  const stream = isTls ? connectTls({ ...at, servername: hostname }) : connectTcp(at)
  let received = Buffer.alloc(0)
  stream.on('data', (bytes: Buffer) => (received = Buffer.concat([received, bytes])))
  stream.on('error', () => {})
  const ended = once(stream, 'close')
  const lines = [
    `GET /ws?poll=${poll} HTTP/1.1`,
    `Host: ${host}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
    ...headers,
  ]
  stream.write(`${lines.join('\r\n')}\r\n\r\n`)
  const answered = (async () => {
    while (!received.includes('\r\n\r\n')) await Promise.race([once(stream, 'data'), ended])
  })()
  await soon(answered, PROMPT_MS, 'the server has not answered the handshake')
  const head = received.subarray(0, received.indexOf('\r\n\r\n')).toString()
  if (!head.startsWith('HTTP/1.1 101 ')) throw new Error(`the server answered ${head.split('\r\n', 1)[0]}`)
  received = received.subarray(head.length + 4)

  return {
    write: (bytes) => void stream.write(bytes),
    end: () => void stream.end(),
    async closeCode() {
      await soon(ended, PROMPT_MS, 'the server has not closed the connection')
      for (let rest = received; rest.length >= 2;) {
        const short = (rest[1] ?? 0) & 0x7f
        const start = short === 126 ? 4 : short === 127 ? 10 : 2
        const length = short === 126 ? rest.readUInt16BE(2) : short === 127 ? Number(rest.readBigUInt64BE(2)) : short
        if (((rest[0] ?? 0) & 0x0f) === 8) return length >= 2 ? rest.readUInt16BE(start) : undefined
        rest = rest.subarray(start + length)
      }
      return undefined
    },
  }
}
