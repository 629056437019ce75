/**
 * Redis, as far as the bus uses it: a model of the server, and in place of `RedisConnection` a client with the manners of ioredis. The
 * two scripts are modelled in TypeScript; `shared/bus/tally-bus.test.ts` holds them on a real Redis.
 */
import { EventEmitter } from 'node:events'
import type { ConnectionLost, End } from './network.ts'
import { type Machine, on, time } from './scheduler.ts'
import { world } from './surroundings.ts'

export type { RedisConnectionOptions, RedisScripts } from '../../shared/bus/redis-connection.ts'

type Value = Map<string, string> | Set<string> | string
interface Kept {
  value: Value
  until: number
}
type Command = readonly [name: string, ...values: (string | number)[]]
type Reply = { readonly to: 'command'; readonly value?: unknown; readonly error?: string } | Message
interface Message {
  readonly to: 'listener'
  readonly channel: string
  readonly message: string
}

export class RedisServer {
  machine: Machine
  #keys = new Map<string, Kept>()
  readonly #subscribed = new Map<string, Set<End>>()
  readonly #ends = new Set<End>()
  /** Writes are refused until then, as without memory. */
  refusesUntil = 0
  /** So many replies are lost. */
  swallows = 0

  constructor(machine: Machine) {
    this.machine = machine
    on(machine, () => this.#listen())
  }

  #listen(): void {
    world.network.listen('redis', (end) => {
      this.#ends.add(end)
      const leave = () => {
        this.#ends.delete(end)
        for (const ends of this.#subscribed.values()) ends.delete(end)
      }
      end.onClose = leave
      end.onData = (data) => {
        const reply = this.#answer(end, data as Command)
        if (this.swallows > 0 && (data as Command)[0] !== 'ping') {
          this.swallows -= 1
          world.sometimes.note('Redis answers out of step, since one answer was lost')
        } else end.send(reply)
      }
    })
  }

  /** Another server in its place, with these data. */
  replace(machine: Machine, keys: ReadonlyMap<string, Kept>): void {
    this.machine = machine
    this.#keys = new Map(structuredClone(keys))
    this.#subscribed.clear()
    this.#ends.clear()
    on(machine, () => this.#listen())
  }

  /** What it holds now. */
  saved(): ReadonlyMap<string, Kept> {
    return structuredClone(this.#keys)
  }

  cutAll(): void {
    for (const end of this.#ends) world.network.cut(end.owner.name, end.peer?.owner.name ?? '')
  }

  #at(key: string): Value | undefined {
    const kept = this.#keys.get(key)
    if (kept !== undefined && kept.until > time()) return kept.value
    this.#keys.delete(key)
    return undefined
  }
  #hash(key: string): Map<string, string> | undefined {
    const value = this.#at(key)
    return value instanceof Map ? value : undefined
  }
  #keep(key: string, value: Value, ms = Infinity): void {
    this.#keys.set(key, { value, until: time() + ms })
  }

  #answer(end: End, command: Command): Reply {
    const isWrite = !['get', 'hget', 'hmget', 'smembers', 'ping', 'subscribe', 'unsubscribe', 'quit'].includes(command[0])
    if (isWrite && time() < this.refusesUntil) {
      return { to: 'command', error: "OOM command not allowed when used memory > 'maxmemory'." }
    }
    return { to: 'command', value: this.#run(end, command) }
  }

  #run(end: End, [name, ...values]: Command): unknown {
    const [key, ...rest] = values.map(String) as [string, ...string[]]
    switch (name) {
      case 'ping':
        return key
      case 'quit':
        return 'OK'
      case 'subscribe':
        for (const channel of [key, ...rest]) this.#subscribed.set(channel, (this.#subscribed.get(channel) ?? new Set()).add(end))
        return 1
      case 'unsubscribe':
        return this.#subscribed.get(key)?.delete(end)
      case 'get': {
        const value = this.#at(key)
        return typeof value === 'string' ? value : null
      }
      case 'set': {
        const before = this.#at(key)
        this.#keep(key, rest[0] ?? '', rest[1] === 'PX' ? Number(rest[2]) : Infinity)
        return rest[1] === 'GET' ? (before ?? null) : 'OK'
      }
      case 'hget':
        return this.#hash(key)?.get(rest[0] ?? '') ?? null
      case 'hmget':
        return rest.map((field) => this.#hash(key)?.get(field) ?? null)
      case 'sadd':
      case 'srem': {
        const members = this.#at(key)
        const set = members instanceof Set ? members : new Set<string>()
        for (const member of rest) {
          if (name === 'sadd') set.add(member)
          else set.delete(member)
        }
        this.#keep(key, set)
        return rest.length
      }
      case 'smembers': {
        const members = this.#at(key)
        return members instanceof Set ? [...members] : []
      }
      case 'pexpire': {
        const kept = this.#keys.get(key)
        if (kept) kept.until = time() + Number(rest[0])
        return kept ? 1 : 0
      }
      case 'admit':
        return this.#admit(key, rest)
      case 'forget': {
        const [epoch = '', keptMs] = rest
        if (Number(this.#hash(key)?.get('epoch') ?? -1) > Number(epoch)) return 0
        this.#keep(key, new Map(Object.entries({ epoch, version: String(Number.MAX_SAFE_INTEGER) })), Number(keptMs))
        return 1
      }
      default:
        throw new Error(`the model of Redis does not know ${name}`)
    }
  }

  #admit(key: string, [epoch = '', version = '', snapshot = '', keptMs = '', channel = '']: string[]): 0 | 1 {
    const kept = this.#hash(key)
    if (kept !== undefined) {
      const [keptEpoch, keptVersion] = [Number(kept.get('epoch')), Number(kept.get('version'))]
      if (Number(epoch) < keptEpoch || (Number(epoch) === keptEpoch && Number(version) <= keptVersion)) {
        const isOlder = Number(epoch) < keptEpoch || Number(version) < keptVersion
        if (isOlder && !key.includes('check:')) world.sometimes.note('an admission is refused as stale')
        return 0
      }
    }
    this.#keep(key, new Map(Object.entries({ epoch, version, snapshot })), Number(keptMs))
    for (const end of this.#subscribed.get(channel) ?? [])
      end.send({ to: 'listener', channel, message: snapshot } satisfies Message)
    return 1
  }
}

/** As in shared/bus/redis-connection.ts. */
export const ANSWER_MS = 2_000
const CONNECT_MS = 2_000

interface Asked {
  readonly word: string | undefined
  resolve(value: unknown): void
  reject(error: Error): void
}

/** In place of the class of that name in shared/bus/redis-connection.ts. */
export class RedisConnection extends EventEmitter {
  status: 'wait' | 'connecting' | 'ready' | 'reconnecting' | 'end' = 'wait'
  #end: End | undefined
  /** In the order in which Redis answers. */
  #asked: Asked[] = []
  #tries = 0
  #checks = 0

  async open(): Promise<void> {
    const opened = Promise.withResolvers<void>()
    const onError = (error: Error) => opened.reject(error)
    this.once('ready', () => opened.resolve()).once('error', onError)
    this.#connect()
    await opened.promise.finally(() => this.off('error', onError))
  }

  #connect(): void {
    this.status = 'connecting'
    const end = world.network.connect('redis')
    this.#end = end
    const connecting = setTimeout(() => {
      end.reset()
      this.#lose(end, new Error('connect ETIMEDOUT'))
    }, CONNECT_MS)
    end.onOpen = () => {
      clearTimeout(connecting)
      this.#tries = 0
      this.status = 'ready'
      this.emit('ready')
    }
    end.onData = (data) => {
      const reply = data as Reply
      if (reply.to === 'listener') this.emit('message', reply.channel, reply.message)
      else if (reply.error === undefined) this.#asked.shift()?.resolve(reply.value)
      else this.#asked.shift()?.reject(new Error(reply.error))
    }
    end.onClose = (error?: ConnectionLost) => {
      clearTimeout(connecting)
      this.#lose(end, error)
    }
  }

  #lose(end: End, error?: Error): void {
    if (this.#end !== end) return
    this.#end = undefined
    for (const { reject } of this.#asked.splice(0)) reject(new Error('Connection is closed.'))
    if (this.status === 'end') return
    this.status = 'reconnecting'
    if (error) this.emit('error', error)
    this.emit('close')
    this.#tries += 1
    setTimeout(() => this.status === 'reconnecting' && this.#connect(), Math.min(500, 50 * this.#tries))
  }

  reopen(): void {
    const end = this.#end
    if (end === undefined) return
    end.reset()
    this.#lose(end)
  }

  disconnect(): void {
    this.status = 'end'
    this.reopen()
  }

  async #call(...command: Command): Promise<unknown> {
    const end = this.#end
    if (this.status !== 'ready' || end === undefined)
      throw new Error("Stream isn't writeable and enableOfflineQueue options is false")
    const answer = Promise.withResolvers<unknown>()
    this.#asked.push({ word: command[1]?.toString(), resolve: answer.resolve, reject: answer.reject })
    end.send(command)
    const timer = setTimeout(() => {
      answer.reject(new Error('Command timed out'))
      if (this.#end === end) this.reopen()
    }, ANSWER_MS)
    return await answer.promise.finally(() => clearTimeout(timer))
  }

  async check(): Promise<void> {
    const word = `check ${(this.#checks += 1)}`
    if ((await this.#call('ping', word)) === word) return
    this.reopen()
    throw new Error('Redis answers out of step')
  }

  async quit(): Promise<unknown> {
    return await this.#call('quit')
  }
  subscribe = (...channels: string[]) => this.#call('subscribe', ...channels)
  unsubscribe = (channel: string) => this.#call('unsubscribe', channel)
  ssubscribe = this.subscribe
  sunsubscribe = this.unsubscribe
  get = (key: string) => this.#call('get', key)
  set = (...values: (string | number)[]) => this.#call('set', ...values)
  hget = (...values: string[]) => this.#call('hget', ...values)
  hmget = (...values: string[]) => this.#call('hmget', ...values)
  sadd = (...values: string[]) => this.#call('sadd', ...values)
  srem = (...values: string[]) => this.#call('srem', ...values)
  smembers = (key: string) => this.#call('smembers', key)
  pexpire = (...values: (string | number)[]) => this.#call('pexpire', ...values)
  admit = (...values: (string | number)[]) => this.#call('admit', ...values)
  forget = (...values: (string | number)[]) => this.#call('forget', ...values)
}
