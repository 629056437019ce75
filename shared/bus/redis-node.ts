/**
 * One Redis: a connection for commands, and one that is subscribed, which takes no other commands (RESP2). Neither queues commands
 * while it is down.
 */
import { within } from '../lifecycle/within.ts'
import { RedisConnection, type RedisConnectionOptions } from './redis-connection.ts'
import type { RedisHost } from './redis-url.ts'

export interface RedisNodeOptions {
  /** Called with each message on a channel that was subscribed. */
  readonly onMessage: (channel: string, message: string) => void
  /** Called when a connection is lost or cannot be opened. */
  readonly onLost: (error: Error) => void
  /** Called when the node says that a channel is another node's now. */
  readonly onMoved?: () => void
  /** Whether channels are shard channels, of which only the nodes of one shard of a cluster know (Redis 7). */
  readonly isSharded?: () => boolean
}

/** How long closing waits for Redis to take leave, in ms. */
const CLOSE_MS = 500

/** `Scripts`: the commands that the scripts of `connection` become. */
export class RedisNode<Scripts> {
  readonly host: RedisHost
  readonly commands: RedisConnection & Scripts
  readonly #subscriber: RedisConnection
  readonly #channels = new Set<string>()
  readonly #isSharded: () => boolean
  #opened: Promise<unknown> | undefined
  #isClosed = false

  constructor(connection: RedisConnectionOptions, options: RedisNodeOptions) {
    const { onMessage, onLost, onMoved = () => {}, isSharded = () => false } = options
    this.host = connection.host ?? connection.address.hosts[0]
    // ioredis defines a command for each script
    this.commands = new RedisConnection(connection) as RedisConnection & Scripts
    this.#subscriber = new RedisConnection({ ...connection, scripts: {} })
    this.#isSharded = isSharded
    const lost = (error: Error) => void (this.#isClosed || onLost(error))
    for (const redis of [this.commands, this.#subscriber]) {
      redis.on('error', lost)
      redis.on('close', () => lost(new Error('the connection was closed')))
    }
    this.#subscriber.on('message', onMessage).on('smessage', onMessage)
    this.#subscriber.on('moved', onMoved)
    this.#subscriber.on('ready', () => void this.subscribeAgain())
  }

  get isReady(): boolean {
    return this.commands.status === 'ready' && this.#subscriber.status === 'ready'
  }

  /** Opens both connections, once. Rejects when that fails; they then go on trying. */
  async open(): Promise<void> {
    this.#opened ??= Promise.all([this.commands.open(), this.#subscriber.open()])
    await this.#opened
  }

  /** Closes both connections, so that they are opened anew. */
  reopen(): void {
    this.commands.reopen()
    this.#subscriber.reopen()
  }

  /** Resolves once messages on the channel arrive. The channel is subscribed again with each new connection, also after a rejection. */
  async subscribe(channel: string): Promise<void> {
    this.#channels.add(channel)
    await this.#call([channel])
  }

  unsubscribe(channel: string): void {
    this.#channels.delete(channel)
    // a failure is ignored, since a channel without listeners costs only bandwidth
    this.#subscriber[this.#isSharded() ? 'sunsubscribe' : 'unsubscribe'](channel).catch(() => {})
  }

  /** Subscribes everything. If it fails, the connection is opened anew, so that it is tried again. */
  async subscribeAgain(): Promise<void> {
    try {
      await this.#call([...this.#channels])
    } catch (error) {
      // of a channel that is another node's now, `onMoved` was told
      if (!isMoved(error) && this.#subscriber.status === 'ready') this.#subscriber.reopen()
    }
  }

  async #call(channels: readonly string[]): Promise<void> {
    if (channels.length === 0) return
    if (!this.#isSharded()) await this.#subscriber.subscribe(...channels)
    // the channels of one call would have to be of one slot
    else await Promise.all(channels.map((channel) => this.#subscriber.ssubscribe(channel)))
  }

  /** Rejects when one of the connections does not answer, or out of step. */
  async check(): Promise<void> {
    await Promise.all([this.commands.check(), this.#subscriber.check()])
  }

  async close(): Promise<void> {
    const connections = [this.commands, this.#subscriber]
    this.#isClosed = true
    const quits = connections.filter(({ status }) => status === 'ready').map((redis) => redis.quit())
    await within(CLOSE_MS, 'Redis did not take leave', Promise.allSettled(quits)).catch(() => {})
    for (const redis of connections) redis.disconnect()
  }
}

function isMoved(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('MOVED ')
}
