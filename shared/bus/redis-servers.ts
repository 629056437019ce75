/** The servers behind a REDIS_URL, as their users see them: whoever keeps a key does the commands on it. */
import type { RedisConnection, RedisScripts } from './redis-connection.ts'
import type { RedisAddress } from './redis-url.ts'

/** `Scripts`: the commands that the scripts become. */
export interface RedisServers<Scripts> {
  /**
   * Does a command on the key at the server that keeps it: `work` sends that command alone, and is called again for another server if
   * the first one has the key no more. Settles within `ANSWER_MS`.
   */
  at<T>(key: string, work: (redis: RedisConnection & Scripts) => Promise<T>): Promise<T>
  /** The command by which a script on a key of the same slot publishes on a channel. */
  readonly publish: 'PUBLISH' | 'SPUBLISH'
  /** Resolves once messages on the channel arrive, and from then on until `unsubscribe`, whatever happens to connections. */
  subscribe(channel: string): Promise<void>
  unsubscribe(channel: string): void
  /** Rejects when a connection does not answer, or out of step. */
  check(): Promise<void>
  close(): Promise<void>
}

export interface RedisServersOptions {
  readonly address: RedisAddress
  /** As of `RedisConnectionOptions`. */
  readonly ca?: string | undefined
  readonly scripts: RedisScripts
  /** A channel that nobody else has; none where nothing is published. */
  readonly ownChannel?: string
  readonly onMessage: (channel: string, message: string) => void
  /** Called when a connection is lost or cannot be opened. */
  readonly onLost: (error: Error) => void
}
