/** WebSockets over the virtual network: the stream that the gateway upgrades, and the browser's class that the SDK opens. */
import { Duplex } from 'node:stream'
import type { ConnectionLost, End } from './network.ts'
import { chance, here, time } from './scheduler.ts'
import { world } from './surroundings.ts'

/** So many bytes the kernels hold for a connection, fewer than they do, so that slow readers are met. */
const WINDOW_BYTES = 2_000

/** The server's side: what `net.Socket` is to the gateway, but for the descriptor, which it is not asked for. */
export class ServerSocket extends Duplex {
  readonly remoteAddress = '10.0.0.1'
  readonly remotePort = 1
  readonly #end: End

  constructor(end: End) {
    super({ allowHalfOpen: true, emitClose: true })
    this.#end = end
    end.onData = (data) => void this.push(data)
    end.onClose = (error?: ConnectionLost) => {
      if (error === undefined) this.push(null)
      else this.destroy(error)
    }
  }
  override _read(): void {}
  override _write(chunk: Buffer, _encoding: string, taken: () => void): void {
    this.#end.send(chunk, chunk.length)
    if (this.#end.inFlight < WINDOW_BYTES) taken()
    else {
      this.#end.onDrain = () => {
        this.#end.onDrain = undefined
        taken()
      }
    }
  }
  override _final(done: () => void): void {
    this.#end.close()
    done()
  }
  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (this.#end.onDrain !== undefined && error === null) world.sometimes.note('a socket that reads too slowly is closed')
    this.#end.reset()
    done(error)
  }
  setNoDelay(): this {
    return this
  }
  setKeepAlive(): this {
    return this
  }
  setTimeout(): this {
    return this
  }
  ref(): this {
    return this
  }
  unref(): this {
    return this
  }
}

/** A message by which a connection becomes a WebSocket. */
export interface Handshake {
  readonly kind: 'upgrade'
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
}

const CLOSING_MS = 2_000
/** After so long the SDK takes its feed for dead. */
const SILENCE_MS = 34_000
type Listener = (event: { data?: unknown; code?: number; reason?: string }) => void

/** The browser's side, as far as the SDK uses it. Every frame that arrives is shown to the world's judge. */
export class VirtualWebSocket {
  readyState = 0
  readonly #listeners = new Map<string, Listener[]>()
  readonly #end: End
  #bytes: Buffer = Buffer.alloc(0)
  #isUpgraded = false
  #heardAt = 0
  #closed: { code: number; reason: string } | undefined
  /** The newest place of each poll that came over this socket. */
  readonly places = new Map<string, { epoch: number; version: number }>()
  readonly owner = here()

  constructor(url: string | URL, protocols: string | string[] = []) {
    const { pathname, search } = new URL(url)
    const gateway = world.chooseGateway()
    this.#end = world.network.connect(gateway)
    const headers = {
      host: 'votes.example',
      origin: 'http://votes.example',
      upgrade: 'websocket',
      connection: 'Upgrade',
      'sec-websocket-version': '13',
      'sec-websocket-key': Buffer.from(String(chance.world.next()).padEnd(16, '0').slice(0, 16)).toString('base64'),
      ...(protocols.length > 0 ? { 'sec-websocket-protocol': [protocols].flat().join(', ') } : {}),
    }
    const handshake: Handshake = { kind: 'upgrade', target: pathname + search, headers }
    this.#end.onOpen = () => this.#end.send(handshake, 100)
    this.#end.onData = (data) => {
      this.#bytes = Buffer.concat([this.#bytes, data as Buffer])
      this.#read()
    }
    this.#end.onClose = () => this.#finish()
  }

  get gateway(): string {
    return this.#end.to
  }

  addEventListener(type: string, listener: Listener): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener])
  }
  #emit(type: string, event: Parameters<Listener>[0] = {}): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event)
  }

  close(code = 1_000): void {
    if (this.readyState >= 2) return
    if (this.readyState === 1 && time() - this.#heardAt > SILENCE_MS)
      world.sometimes.note('a client finds out by silence that its feed is dead')
    if (this.readyState === 0) {
      this.#end.reset()
      this.#finish()
      return
    }
    this.readyState = 2
    this.#sendFrame(0x88, Buffer.of(code >> 8, code & 0xff))
    setTimeout(() => this.#finish(), CLOSING_MS)
  }

  /** RFC 6455 §5.3: what a client sends is masked, here with zeros. */
  #sendFrame(head: number, payload: Buffer): void {
    this.#end.send(Buffer.concat([Buffer.of(head, 0x80 | payload.length, 0, 0, 0, 0), payload]), payload.length + 6)
  }

  #finish(): void {
    if (this.readyState === 3) return
    this.readyState = 3
    this.#end.close()
    this.#emit('close', this.#closed ?? { code: 1_006, reason: '' })
  }

  #read(): void {
    if (!this.#isUpgraded) {
      const head = this.#bytes.indexOf('\r\n\r\n')
      if (head < 0) return
      const [line = ''] = this.#bytes.toString('latin1', 0, head).split('\r\n')
      if (!line.includes(' 101 ')) {
        world.sometimes.note(`a handshake is refused with ${line.split(' ')[1]}`)
        this.#end.close()
        this.#finish()
        return
      }
      this.#bytes = this.#bytes.subarray(head + 4)
      this.#isUpgraded = true
      this.readyState = 1
      this.#emit('open')
    }
    while (this.readyState < 3) {
      const [head, first = 0] = this.#bytes
      if (head === undefined || this.#bytes.length < 2) return
      const skip = first < 126 ? 2 : 4
      if (this.#bytes.length < skip) return
      const length = first < 126 ? first : this.#bytes.readUInt16BE(2)
      if (this.#bytes.length < skip + length) return
      const payload = this.#bytes.subarray(skip, skip + length)
      this.#bytes = this.#bytes.subarray(skip + length)
      this.#take(head & 0xf, payload)
    }
  }

  #take(opcode: number, payload: Buffer): void {
    if (opcode === 9) this.#sendFrame(0x8a, payload)
    else if (opcode === 1) {
      const data = payload.toString()
      this.#heardAt = time()
      world.judge.arrived(this, data)
      if (this.readyState === 1) this.#emit('message', { data })
    } else if (opcode === 8) {
      this.#closed = { code: payload.length >= 2 ? payload.readUInt16BE(0) : 1_005, reason: payload.toString('utf8', 2) }
      if (this.readyState === 1) this.#sendFrame(0x88, payload.subarray(0, 2))
      this.readyState = 2
      this.#finish()
    }
  }
}
