/**
 * The network: connections between machines, each an ordered, reliable stream of messages in both directions, as TCP is one of bytes.
 * What goes over two connections overtakes each other freely. A message is delayed, held back by a partition until it heals, or lost
 * with its whole connection.
 */
import { chance, here, type Machine, note, plan } from './scheduler.ts'

type Item =
  | { readonly kind: 'data'; readonly data: unknown; readonly bytes: number }
  | { readonly kind: 'syn' | 'ack' | 'fin' | 'reset' }

/** What a connection that nobody takes, or that is cut, ends with. */
export class ConnectionLost extends Error {
  readonly code: 'ECONNREFUSED' | 'ECONNRESET'
  constructor(code: ConnectionLost['code']) {
    super(code)
    this.code = code
  }
}

/** One end of a connection. */
export class End {
  readonly owner: Machine
  /** Whom it leads to, as the caller named it. */
  readonly to: string
  peer: End | undefined
  isOpen = true
  /** Bytes that have not reached the other machine. */
  inFlight = 0
  onData: (data: unknown) => void = () => {}
  /** Called once, unless this side ended it; without an error when the other side has closed it in order. */
  onClose: (error?: ConnectionLost) => void = () => {}
  /** Called once when everything has arrived. */
  onDrain: (() => void) | undefined
  onOpen: () => void = () => {}
  readonly #network: Network
  #arrivesAt = 0

  constructor(network: Network, owner: Machine, to: string) {
    this.#network = network
    this.owner = owner
    this.to = to
    network.ends.add(this)
  }

  send(data: unknown, bytes = 1): void {
    if (this.isOpen) this.transmit({ kind: 'data', data, bytes })
  }
  /** Closes it after what was sent. */
  close(): void {
    this.#end('fin')
  }
  reset(): void {
    this.#end('reset')
  }
  #end(kind: 'fin' | 'reset') {
    if (!this.isOpen) return
    this.isOpen = false
    this.transmit({ kind })
    this.#network.ends.delete(this)
  }

  transmit(item: Item): void {
    if (item.kind === 'data') this.inFlight += item.bytes
    const { peer } = this
    // one side does not know the other any more: nothing ever arrives
    if (peer === undefined || this.#network.isLost(this)) return
    if (this.#network.isBlocked(this.owner.name, peer.owner.name)) {
      this.#network.hold(this, item)
      return
    }
    this.#arrivesAt = Math.max(this.#arrivesAt, this.#network.delayMs(this))
    plan(peer.owner, this.#arrivesAt - this.#network.now(), () => {
      this.inFlight -= item.kind === 'data' ? item.bytes : 0
      peer.receive(item)
      if (this.onDrain && this.inFlight === 0) plan(this.owner, 0, this.onDrain)
    })
  }

  receive(item: Item): void {
    if (!this.isOpen) return
    if (item.kind === 'data') this.onData(item.data)
    else if (item.kind === 'ack') this.onOpen()
    else this.lose(item.kind === 'fin' ? undefined : new ConnectionLost('ECONNRESET'))
  }

  lose(error?: ConnectionLost): void {
    if (!this.isOpen) return
    this.isOpen = false
    this.#network.ends.delete(this)
    this.onClose(error)
  }
}

export class Network {
  readonly ends = new Set<End>()
  readonly #listeners = new Map<string, { readonly machine: Machine; readonly accept: (end: End) => void }>()
  readonly #blocked = new Set<string>()
  readonly #lost = new WeakSet<End>()
  readonly #slow = new Map<string, number>()
  /** What waits for a partition to heal, in its order. */
  #held: (readonly [End, Item])[] = []
  readonly now: () => number

  constructor(now: () => number) {
    this.now = now
  }

  /** Whoever connects to `name` from now on is given to this machine. */
  listen(name: string, accept: (end: End) => void): void {
    this.#listeners.set(name, { machine: here(), accept })
  }
  /** Unless another machine listens there by now. */
  unlisten(name: string): void {
    if (this.#listeners.get(name)?.machine === here()) this.#listeners.delete(name)
  }

  /** Begins to connect this machine to another. The end is usable at once; `onOpen` tells when the other side has taken it. */
  connect(name: string): End {
    const end = new End(this, here(), name)
    const listener = this.#listeners.get(name)
    if (listener === undefined || listener.machine.state === 'dead') {
      plan(end.owner, 0.2, () => end.lose(new ConnectionLost('ECONNREFUSED')))
      return end
    }
    const other = new End(this, listener.machine, end.owner.name)
    end.peer = other
    other.peer = end
    const receive = other.receive.bind(other)
    other.receive = (item) => {
      if (item.kind !== 'syn') return receive(item)
      if (this.#listeners.get(name)?.machine !== other.owner) {
        other.reset()
        return
      }
      other.transmit({ kind: 'ack' })
      listener.accept(other)
    }
    end.transmit({ kind: 'syn' })
    return end
  }

  /** When a message that is sent now arrives. */
  delayMs(end: End): number {
    const { network } = chance
    const spikeMs = network.next() < 0.01 ? network.next() * 80 : 0
    const slowMs = (this.#slow.get(end.owner.name) ?? 0) + (this.#slow.get(end.peer?.owner.name ?? '') ?? 0)
    return this.now() + 0.1 + network.next() * (1.2 + slowMs) + spikeMs
  }

  /** Lets what goes from and to a machine take up to so long. */
  slow(name: string, ms: number): void {
    this.#slow.set(name, ms)
  }

  /** Whether what one sends does not reach the other now. */
  isBlocked(from: string, to: string): boolean {
    return this.#blocked.has(`${from} ${to}`)
  }
  isLost(end: End): boolean {
    return this.#lost.has(end)
  }
  /** From now on nothing that one sends arrives at the other; it does when it heals. */
  block(from: string, to: string): void {
    this.#blocked.add(`${from} ${to}`)
  }
  heal(from: string, to: string): void {
    this.#blocked.delete(`${from} ${to}`)
    const held = this.#held
    this.#held = []
    for (const [end, item] of held) {
      if (item.kind === 'data') end.inFlight -= item.bytes
      end.transmit(item)
    }
  }
  hold(end: End, item: Item): void {
    this.#held.push([end, item])
  }
  between(one: string, other: string): End[] {
    return [...this.ends].filter((end) => end.owner.name === one && end.peer?.owner.name === other)
  }
  /** Resets every connection between the two. */
  cut(one: string, other: string): void {
    for (const end of this.between(one, other)) {
      const { peer } = end
      for (const each of [end, peer]) if (each) plan(each.owner, 0.1, () => each.lose(new ConnectionLost('ECONNRESET')))
    }
  }
  /** Something on the way forgets the connection: each side goes on, and nothing arrives. */
  loseSilently(end: End): void {
    for (const each of [end, end.peer]) if (each) this.#lost.add(each)
  }
  /** What becomes of the connections of a machine that is no more: they are reset, or nobody tells the others. */
  forget(machine: Machine, isSilent: boolean): void {
    note(`forget ${machine.name}`)
    for (const end of this.ends) {
      if (end.owner !== machine) continue
      if (isSilent) {
        this.#lost.add(end)
        if (end.peer) this.#lost.add(end.peer)
      } else end.transmit({ kind: 'reset' })
      end.isOpen = false
      this.ends.delete(end)
    }
    for (const [name, { machine: listening }] of this.#listeners) if (listening === machine) this.#listeners.delete(name)
  }
}
