/** A connection to Redis, of the bus or of others: how it is made, and its bounds. */
import { Redis, type RedisOptions } from 'ioredis'
import { within } from '../lifecycle/within.ts'
import type { RedisAddress, RedisHost } from './redis-url.ts'

/** A connection on which nothing arrives for so long, in ms, is closed and opened again. */
const SOCKET_TIMEOUT_MS = 3_000
const CONNECT_MS = 2_000
/** No two tries to reconnect are further apart than this, in ms. */
const MAX_RECONNECT_MS = 250
/** How long a Sentinel may take to say where the master is, in ms, and after how long all of them are asked again. */
const SENTINEL_MS = 1_000
const SENTINELS_AGAIN_MS = 250
/** How long opening may take at first, in ms, with Sentinels that do not answer. */
const OPEN_MS = 5_000

/** Every command has an answer or an error within this time, in ms. */
export const ANSWER_MS = 2_000

/**
 * ioredis queues no command while a connection is down and sends none twice: each caller decides what a failure means.
 *
 * - `maxRetriesPerRequest` is 0 since ioredis otherwise keeps a command that was under way when its connection closed, and drops it
 *   without a word if the first reconnect succeeds: its promise would never settle.
 * - `autoResubscribe` is off since ioredis does it with a promise that nobody hears, so that a failure would end the process.
 * - `enableReadyCheck` is off since it waits up to ten seconds for a Redis that loads its data, and wants the right to call INFO.
 * - `sentinelRetryStrategy` always has a number, since ioredis gives a connection up for good when no Sentinel answers once.
 */
const OPTIONS = {
  lazyConnect: true,
  connectTimeout: CONNECT_MS,
  socketTimeout: SOCKET_TIMEOUT_MS,
  commandTimeout: ANSWER_MS,
  enableOfflineQueue: false,
  enableReadyCheck: false,
  disableClientInfo: true,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  maxRetriesPerRequest: 0,
  retryStrategy: (times: number) => Math.min(MAX_RECONNECT_MS, 50 * times),
  sentinelRetryStrategy: () => SENTINELS_AGAIN_MS,
  sentinelCommandTimeout: SENTINEL_MS,
  updateSentinels: false,
}

export type RedisScripts = NonNullable<RedisOptions['scripts']>

/** Where a connection goes, and what it can do. */
export interface RedisConnectionOptions {
  readonly address: RedisAddress
  /** The node of the cluster; in the other forms the address is enough. */
  readonly host?: RedisHost
  /** The certificates to trust over TLS (PEM), instead of those that Node trusts. */
  readonly ca?: string | undefined
  /** The Lua scripts that become its commands. */
  readonly scripts?: RedisScripts
}

/**
 * A connection on which every command settles: with its answer, or with an error within `ANSWER_MS`. It is opened anew after an answer
 * that did not come in time, since Redis answers in order: if only that answer was lost, each later one would be taken for the
 * answer to the command before it. `check` notices that while other commands keep coming, each of which brings the one before it an
 * answer in time.
 */
export class RedisConnection extends Redis {
  #checks = 0

  /** `open` opens it. */
  constructor({ address, host, ca, scripts = {} }: RedisConnectionOptions) {
    const { form, hosts, username, password, sentinelUsername, sentinelPassword } = address
    const tls = address.tls ? { tls: ca === undefined ? {} : { ca } } : {}
    const sentinelTls = address.tls ? { sentinelTLS: tls.tls, enableTLSForSentinelMode: true } : {}
    const where =
      form === 'sentinel'
        ? {
            sentinels: [...hosts],
            name: address.masterName,
            ...(sentinelUsername && { sentinelUsername }),
            ...(sentinelPassword && { sentinelPassword }),
            ...sentinelTls,
          }
        : (host ?? hosts[0])
    const login = { ...(username && { username }), ...(password && { password }) }
    super({ ...OPTIONS, ...where, ...tls, ...login, db: address.db, scripts: form === 'cluster' ? {} : scripts })
    this.on('error', () => this.#endure())
    if (form === 'cluster') Object.assign(this, wholeScripts(this, scripts))
  }

  /** ioredis hears one error of a socket alone. TLS may have a second one, which nobody would hear, and that ends a process. */
  #endure(): void {
    this.stream?.on('error', () => {})
  }

  override disconnect(reconnect = false): void {
    this.#endure()
    super.disconnect(reconnect)
  }

  /** Opens it. Rejects with what Redis says, or why it cannot be reached. */
  async open(): Promise<void> {
    let reason: Error | undefined
    const failed = Promise.withResolvers<never>()
    // what one Sentinel says comes before the word that none of them helps
    const note = (error: Error) => void (reason ??= error)
    const fail = (error: Error) => failed.reject(reason ?? error)
    this.on('sentinelError', note).on('error', fail)
    try {
      // ioredis goes on trying, and its promise says no more than that the connection was closed
      await within(OPEN_MS, 'Redis has not answered', Promise.race([this.connect(), failed.promise]))
    } finally {
      this.off('sentinelError', note).off('error', fail)
    }
  }

  /** Closes the connection, so that it is opened anew: perhaps to another server, where a name or Sentinels say so. */
  reopen(): void {
    this.stream?.destroy()
  }

  /** Rejects when Redis does not answer, or answers something else than what it was asked. */
  async check(): Promise<void> {
    // not a short one: ioredis reads two items of what it takes for the answer to a subscription
    const word = `check ${(this.#checks += 1)}`
    const { stream: connection } = this
    const answer: unknown = await this.ping(word)
    // while it is subscribed, Redis answers with a list (RESP2)
    if (String(Array.isArray(answer) ? answer[1] : answer) === word) return
    connection?.destroy()
    throw new Error('Redis answers out of step')
  }

  override sendCommand(...[command, stream]: Parameters<Redis['sendCommand']>) {
    const { stream: connection } = this
    // what is asked in one turn goes out in one write
    if (connection !== undefined && connection.writableCorked === 0) {
      connection.cork()
      queueMicrotask(() => connection.uncork())
    }
    // the caller hears the error too, from the same promise
    command.promise.catch((error: unknown) => {
      if (error instanceof Error && error.message === TIMED_OUT) connection?.destroy()
    })
    return super.sendCommand(command, stream)
  }
}

/** What ioredis says when `commandTimeout` has passed; it has no class or code for it. */
const TIMED_OUT = 'Command timed out'

/**
 * The scripts as commands that send their text each time. By its name a script is sent once more where a node lacks it, and the second
 * time without the ASKING that a node which is about to take over a slot wants to hear before each command.
 */
function wholeScripts(redis: Redis, scripts: RedisScripts) {
  return Object.fromEntries(
    Object.entries(scripts).map(([name, { lua, numberOfKeys = 0 }]) => [
      name,
      (...args: (string | number)[]) => redis.eval(lua, numberOfKeys, ...args),
    ]),
  )
}
