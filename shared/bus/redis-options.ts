/** How every connection to Redis behaves, the bus's and others. */

/** A connection that says nothing for so long, in ms, is closed and made anew. */
const SOCKET_TIMEOUT_MS = 3_000
/** No two tries to reconnect are further apart than this, in ms. */
const MAX_RECONNECT_MS = 1_000

/** Nothing is queued while a connection is down, and nothing is sent twice: each caller decides what a failure means. */
export const REDIS_OPTIONS = {
  lazyConnect: true,
  connectTimeout: 2_000,
  socketTimeout: SOCKET_TIMEOUT_MS,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  maxRetriesPerRequest: 1,
  retryStrategy: (times: number) => Math.min(MAX_RECONNECT_MS, 50 * times),
}
