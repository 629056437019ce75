/**
 * The bus between replicas, in Redis: for each poll a hash that keeps its newest snapshot and a pub/sub channel for new ones.
 *
 * It has two connections, since a subscribed one takes no other commands. Neither queues commands while it is down: the next
 * tally supersedes one that could not be admitted, and receivers would drop the old ones. Every command ends within `ANSWER_MS`, with
 * an answer or an error.
 */
import type { Log } from '../telemetry/log.ts'
import { within } from '../lifecycle/within.ts'
import { Snapshot } from '../protocol/frames.ts'
import type { Versioned } from '../protocol/order.ts'
import { RedisConnection } from './redis-connection.ts'
import { PRESENCE_MS, type BusHealth, Presence, type SnapshotListener, type TallyBus } from './tally-bus.ts'

export interface RedisBusOptions {
  readonly url: string
  /** Prefix of every key and channel, so that several instances can share one Redis. */
  readonly namespace: string
  readonly log: Log
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Called for each message on a channel that is not a snapshot. */
  readonly onGarbage?: () => void
}

/** How often both connections are checked, in ms: more often than a silent one is closed. */
const CHECK_INTERVAL_MS = 1_000
/** How long closing waits for Redis to take leave, in ms. */
const CLOSE_MS = 500
/** How long Redis keeps what no backend knows any more, in ms: far longer than all backends may be away at once. */
const KEPT_MS = 24 * 3_600_000
/** The last date there is (ECMA-262 §21.4.1.1): anybody who reaches Redis may write a later one. */
const MAX_DATE = 8.64e15
/** A longer message counts as garbage. */
const MAX_MESSAGE_CHARS = 65_536

/**
 * Keeps and publishes a snapshot only if its `(epoch, version)` is later than that of the one it keeps, so that N replicas
 * publish each version once and no screen goes backwards. Lua numbers are doubles: exact up to 2^53.
 */
const ADMIT = `
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local kept = redis.call('HMGET', KEYS[1], 'epoch', 'version')
local epoch, version = tonumber(ARGV[1]), tonumber(ARGV[2])
if kept[1] then
  local keptEpoch, keptVersion = tonumber(kept[1]), tonumber(kept[2])
  if epoch < keptEpoch or (epoch == keptEpoch and version <= keptVersion) then return 0 end
end
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'version', ARGV[2], 'snapshot', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
redis.call('PUBLISH', KEYS[2], ARGV[3])
return 1`

/**
 * Puts the last place of its epoch in the place of a poll that was removed, and no snapshot, so that a backend that has not heard of it
 * yet cannot bring the poll back. Leaves a later poll of the same name alone.
 */
const FORGET = `
if redis.call('TYPE', KEYS[1]).ok ~= 'hash' then redis.call('DEL', KEYS[1]) end
local epoch = redis.call('HGET', KEYS[1], 'epoch')
if epoch and tonumber(epoch) > tonumber(ARGV[1]) then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'version', '${Number.MAX_SAFE_INTEGER}')
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1`

type AdmittingRedis = RedisConnection & {
  forget(key: string, epoch: number, keptMs: number): Promise<number>
  admit(key: string, channel: string, epoch: number, version: number, snapshot: string, keptMs: number): Promise<number>
}

/** Connects both connections. Rejects when Redis does not answer; the caller retries. */
export async function connectRedisBus(options: RedisBusOptions): Promise<TallyBus> {
  const { namespace, log, now } = options
  const key = (slug: string) => `${namespace}:tally:${slug}`
  const channelPrefix = `${namespace}:news:`
  const sourceKey = `${namespace}:source`
  const presencesKey = `${namespace}:gateways`
  const presenceKey = (id: string) => `${namespace}:gateway:${id}`

  const commands = new RedisConnection(options.url, {
    admit: { lua: ADMIT, numberOfKeys: 2 },
    forget: { lua: FORGET, numberOfKeys: 1 },
  }) as AdmittingRedis
  const subscriber = new RedisConnection(options.url)
  const listeners = new Map<string, Set<SnapshotListener>>()
  let health: BusHealth = { ok: false, at: 0, error: 'not connected yet' }

  const lost = (error: Error) => {
    if (health.ok) log.warn({ reason: error.message }, 'Redis does not answer: the last known tallies stay')
    health = { ok: false, at: health.at, error: error.message }
  }
  const answered = () => {
    if (!health.ok && health.at > 0) log.info({}, 'Redis answers again')
    health = { ok: true, at: now() }
  }
  for (const redis of [commands, subscriber]) redis.on('error', lost)
  commands.on('close', () => lost(new Error('the connection was closed')))
  subscriber.on('close', () => lost(new Error('the subscribed connection was closed')))

  /** After a reconnect. If it fails, the connection is opened anew, so that it is tried again. */
  const subscribeAgain = async () => {
    const channels = [...listeners.keys()].map((slug) => channelPrefix + slug)
    if (channels.length > 0) await subscriber.subscribe(...channels).catch(() => subscriber.disconnect(true))
  }

  subscriber.on('message', (channel: string, message: string) => {
    const known = listeners.get(channel.slice(channelPrefix.length))
    if (known === undefined) return
    const snapshot = decode(message)
    if (snapshot === undefined) return options.onGarbage?.()
    for (const listener of known) listener(snapshot)
  })

  try {
    await Promise.all([commands.connect(), subscriber.connect()])
  } catch (error) {
    commands.disconnect()
    subscriber.disconnect()
    throw new Error('Redis does not answer', { cause: error })
  }
  subscriber.on('ready', () => void subscribeAgain())
  answered()
  const ping = setInterval(() => {
    Promise.all([commands.check(), subscriber.check()]).then(answered, lost)
  }, CHECK_INTERVAL_MS)

  return {
    async admit(snapshot) {
      const { poll: slug, epoch, version } = snapshot.tally
      const admitted = await commands.admit(key(slug), channelPrefix + slug, epoch, version, JSON.stringify(snapshot), KEPT_MS)
      return admitted === 1
    },
    async forget(slug, epoch) {
      await commands.forget(key(slug), epoch, KEPT_MS)
    },
    async heartbeat(at) {
      const before = await commands.set(sourceKey, at, 'GET')
      return before !== null
    },
    async keep(slugs) {
      const pipeline = commands.pipeline()
      for (const slug of slugs) pipeline.hmget(key(slug), 'epoch', 'version').pexpire(key(slug), KEPT_MS)
      const replies = (await pipeline.exec()) ?? []
      const places = new Map<string, Versioned>()
      for (const [index, slug] of slugs.entries()) {
        const reply = replies[2 * index]
        if (isWrongType(reply)) continue
        const [error, fields] = reply ?? []
        if (error) throw error
        if (!Array.isArray(fields)) throw new Error('Redis answers out of step')
        const [epoch, version] = fields as (string | null)[]
        if (epoch && version) places.set(slug, { epoch: Number(epoch), version: Number(version) })
      }
      return places
    },
    async latest(slugs) {
      const pipeline = commands.pipeline().get(sourceKey)
      for (const slug of slugs) pipeline.hget(key(slug), 'snapshot')
      const [source, ...replies] = (await pipeline.exec()) ?? []
      const snapshots = new Map<string, Snapshot>()
      const sourceAt = Number(value(source) ?? Number.NaN)
      for (const [index, slug] of slugs.entries()) {
        // a key that is no hash is somebody else's doing, and the next `admit` replaces it
        const snapshot = decode(isWrongType(replies[index]) ? null : value(replies[index]))
        if (snapshot !== undefined) snapshots.set(slug, snapshot)
      }
      return { snapshots, sourceAt: Math.abs(sourceAt) <= MAX_DATE ? sourceAt : undefined }
    },
    async subscribe(slug, listener) {
      const known = listeners.get(slug) ?? new Set()
      listeners.set(slug, known.add(listener))
      const unsubscribe = () => {
        known.delete(listener)
        if (known.size > 0 || listeners.get(slug) !== known) return
        listeners.delete(slug)
        // a failure is ignored, since a channel without listeners costs only bandwidth
        subscriber.unsubscribe(channelPrefix + slug).catch(() => {})
      }
      try {
        await subscriber.subscribe(channelPrefix + slug)
      } catch (error) {
        unsubscribe()
        throw error
      }
      return unsubscribe
    },
    async announce(presence) {
      await commands
        .pipeline()
        .set(presenceKey(presence.id), JSON.stringify(presence), 'PX', PRESENCE_MS)
        .sadd(presencesKey, presence.id)
        .exec()
    },
    async present() {
      const ids = await commands.smembers(presencesKey)
      if (ids.length === 0) return []
      const found = await commands.mget(ids.map(presenceKey))
      const gone = ids.filter((_, index) => found[index] === null)
      if (gone.length > 0) await commands.srem(presencesKey, ...gone)
      return found.flatMap((text) => presenceIn(text) ?? [])
    },
    get health() {
      return health
    },
    async close() {
      clearInterval(ping)
      for (const redis of [commands, subscriber]) redis.removeAllListeners('close')
      const quits = [commands, subscriber].filter(({ status }) => status === 'ready').map((redis) => redis.quit())
      await within(CLOSE_MS, 'Redis did not take leave', Promise.allSettled(quits)).catch(() => {})
      commands.disconnect()
      subscriber.disconnect()
    },
  }
}

/** The text of a reply of a pipeline. Throws the error of its command. */
function value(reply: readonly [error: Error | null, result: unknown] | undefined): string | null {
  if (reply === undefined) return null
  const [error, result] = reply
  if (error !== null) throw error
  return typeof result === 'string' ? result : null
}

function isWrongType(reply: readonly [error: Error | null, result: unknown] | undefined): boolean {
  return reply?.[0]?.message.startsWith('WRONGTYPE') === true
}

/** The presence in a text; undefined if it is none. */
function presenceIn(text: string | null): Presence | undefined {
  try {
    return text === null ? undefined : Presence.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

/** The snapshot in a message; undefined if it is none, since whoever reaches Redis may publish anything on a channel. */
function decode(message: string | null): Snapshot | undefined {
  if (message === null || message.length > MAX_MESSAGE_CHARS) return undefined
  try {
    return Snapshot.safeParse(JSON.parse(message)).data
  } catch {
    return undefined
  }
}
