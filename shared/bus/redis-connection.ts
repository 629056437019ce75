/** A connection to Redis, of the bus or of others: how it is made, and its bounds. */
import { Redis, type RedisOptions } from 'ioredis'

/** A connection on which nothing arrives for so long, in ms, is closed and opened again. */
const SOCKET_TIMEOUT_MS = 3_000
/** No two tries to reconnect are further apart than this, in ms. */
const MAX_RECONNECT_MS = 500

/** Every command has an answer or an error within this time, in ms. */
const ANSWER_MS = 2_000

/**
 * ioredis queues no command while a connection is down and sends none twice: each caller decides what a failure means.
 *
 * - `maxRetriesPerRequest` is 0 since ioredis otherwise keeps a command that was under way when its connection closed, and drops it
 *   without a word if the first reconnect succeeds: its promise would never settle.
 * - `autoResubscribe` is off since ioredis does it with a promise that nobody hears, so that a failure would end the process.
 */
const OPTIONS = {
  lazyConnect: true,
  connectTimeout: 2_000,
  socketTimeout: SOCKET_TIMEOUT_MS,
  commandTimeout: ANSWER_MS,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  autoResubscribe: false,
  maxRetriesPerRequest: 0,
  retryStrategy: (times: number) => Math.min(MAX_RECONNECT_MS, 50 * times),
}

/**
 * A connection on which every command settles: with its answer, or with an error within `ANSWER_MS`. It is opened anew after an answer
 * that did not come in time, since Redis answers in order: if only that answer was lost, each later one would be taken for the
 * answer to the command before it. `check` notices that while other commands keep coming, each of which brings the one before it an
 * answer in time.
 */
export class RedisConnection extends Redis {
  #checks = 0

  /** `connect` opens it. `scripts`: the Lua scripts that become its commands. */
  constructor(url: string, scripts: NonNullable<RedisOptions['scripts']> = {}) {
    super(url, { ...OPTIONS, scripts })
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
    // the caller hears the error too, from the same promise
    command.promise.catch((error: unknown) => {
      if (error instanceof Error && error.message === TIMED_OUT) connection?.destroy()
    })
    return super.sendCommand(command, stream)
  }
}

/** What ioredis says when `commandTimeout` has passed; it has no class or code for it. */
const TIMED_OUT = 'Command timed out'
