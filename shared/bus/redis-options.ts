/** The options of every connection to Redis, those of the bus and others. */

/** A connection on which nothing arrives for so long, in ms, is closed and opened again. */
const SOCKET_TIMEOUT_MS = 3_000
/** No two tries to reconnect are further apart than this, in ms. */
const MAX_RECONNECT_MS = 1_000

/** ioredis queues no command while a connection is down and sends none twice: each caller decides what a failure means. */
export const REDIS_OPTIONS = {
  lazyConnect: true,
  connectTimeout: 2_000,
  socketTimeout: SOCKET_TIMEOUT_MS,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 1,
  retryStrategy: (times: number) => Math.min(MAX_RECONNECT_MS, 50 * times),
}
