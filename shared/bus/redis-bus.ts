/**
 * The bus between replicas, in Redis: for each poll a hash that keeps its newest snapshot and a pub/sub channel for new ones.
 *
 * Nothing is queued while Redis is away: the next tally supersedes one that could not be admitted, and receivers would drop the old
 * ones. Every command ends within 2 s, with an answer or an error.
 */
import { randomUUID } from 'node:crypto'
import type { Log } from '../telemetry/log.ts'
import { within } from '../lifecycle/within.ts'
import { Snapshot } from '../protocol/frames.ts'
import type { Versioned } from '../protocol/order.ts'
import { connectRedis } from './redis-connect.ts'
import { ANSWER_MS } from './redis-connection.ts'
import { explained } from './redis-refusal.ts'
import { BUS_SCRIPTS, type BusScripts } from './redis-scripts.ts'
import { parseRedisUrl } from './redis-url.ts'
import { PRESENCE_MS, type BusHealth, Presence, type SnapshotListener, type TallyBus } from './tally-bus.ts'

export interface RedisBusOptions {
  /** As of `parseRedisUrl`. */
  readonly url: string
  /** The certificates to trust where the URL says TLS (PEM), instead of those that Node trusts. */
  readonly ca?: string | undefined
  /** Prefix of every key and channel, so that several instances can share one Redis. */
  readonly namespace: string
  readonly log: Log
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** Called for each message on a channel that is not a snapshot. */
  readonly onGarbage?: () => void
}

/** How often everything is checked, in ms: more often than a silent connection is closed. */
const CHECK_INTERVAL_MS = 500
/** How long Redis keeps what a check writes, in ms. */
const CHECK_KEPT_MS = 10_000
/** In a cluster the sign of life of the backends is kept so many times, so that it is there although a master is not. */
const CLUSTER_SOURCES = 16
/** How long Redis keeps what no backend knows any more, in ms: far longer than all backends may be away at once. */
const KEPT_MS = 24 * 3_600_000
/** The last date there is (ECMA-262 §21.4.1.1): anybody who reaches Redis may write a later one. */
const MAX_DATE = 8.64e15
/** A longer message counts as garbage. */
const MAX_MESSAGE_CHARS = 65_536

/**
 * Connects. Rejects when Redis cannot be reached, and the caller tries again; with `CannotWork` when Livetally lacks something of it, and
 * no other try can help.
 */
export async function connectRedisBus(options: RedisBusOptions): Promise<TallyBus> {
  const { namespace, log, now } = options
  const address = parseRedisUrl(options.url)
  const isCluster = address.form === 'cluster'
  // of a name the braces make the slot, so that a poll's key and its channel are in the same one
  const named = (slug: string) => (isCluster ? `{${slug}}` : slug)
  const key = (slug: string) => `${namespace}:tally:${named(slug)}`
  const channelPrefix = `${namespace}:news:`
  const channel = (slug: string) => channelPrefix + named(slug)
  const sourceKeys = isCluster
    ? Array.from({ length: CLUSTER_SOURCES }, (_, index) => `${namespace}:source:${index}`)
    : [`${namespace}:source`]
  const markKey = `${namespace}:mark`
  const presencesKey = `${namespace}:gateways`
  const presenceKey = (id: string) => `${namespace}:gateway:${id}`
  /** What this process checks the bus with: no poll has such a name. */
  const own = `check:${randomUUID()}`

  /** By channel. */
  const listeners = new Map<string, Set<SnapshotListener>>()
  let health: BusHealth = { ok: false, at: 0, error: 'not connected yet' }
  let checks = 0
  let onWord = (_word: string) => {}

  const lost = (fault: unknown) => {
    const reason = explained(fault, address.form).message
    if (health.ok) log.warn({ reason }, 'Redis does not do what it is needed for')
    health = { ok: false, at: health.at, error: reason }
  }
  const works = () => {
    if (!health.ok && health.at > 0) log.info({}, 'Redis works again')
    health = { ok: true, at: now() }
  }
  const hear = (at: string, message: string) => {
    if (at === channel(own)) return onWord(message)
    const known = listeners.get(at)
    if (known === undefined) return
    const snapshot = decode(message)
    if (snapshot === undefined) return options.onGarbage?.()
    for (const listener of known) listener(snapshot)
  }

  const servers = await connectRedis<BusScripts>({
    ...options,
    address,
    scripts: BUS_SCRIPTS,
    ownChannel: channel(own),
    onMessage: hear,
    onLost: lost,
  })

  const admit = async (slug: string, { epoch, version }: Versioned, text: string, keptMs: number) =>
    await servers.at(key(slug), (redis) => redis.admit(key(slug), epoch, version, text, keptMs, channel(slug), servers.publish))

  /** Does what a publication does, and hears it, since a Redis that answers need not do that. */
  const check = async () => {
    const word = `check ${(checks += 1)}`
    const heard = Promise.withResolvers<void>()
    onWord = (at) => void (at === word && heard.resolve())
    const hearing = within(ANSWER_MS, 'what was published was not heard', heard.promise)
    await Promise.all([servers.check(), admit(own, { epoch: 1, version: checks }, word, CHECK_KEPT_MS), hearing])
  }

  /** Does everything that the bus ever does, so that a right that is missing shows at the start. */
  const tryEverything = async () => {
    const [at, text, set] = [key(own), `${key(own)}:text`, `${key(own)}:set`]
    await servers.subscribe(channel(own))
    // the first time a script goes as a whole (EVAL), the second time by name (EVALSHA)
    await check()
    await check()
    await Promise.all([
      servers.at(at, (redis) => redis.hmget(at, 'epoch', 'version')),
      servers.at(at, (redis) => redis.hget(at, 'snapshot')),
      servers.at(text, (redis) => redis.set(text, '', 'GET')),
      servers.at(text, (redis) => redis.set(text, '', 'PX', CHECK_KEPT_MS)),
      servers.at(set, (redis) => redis.sadd(set, own)),
      servers.at(set, (redis) => redis.smembers(set)),
      servers.at(set, (redis) => redis.srem(set, own)),
      servers.at(at, (redis) => redis.forget(at, 1, CHECK_KEPT_MS)),
      // one node of a cluster would have some of these keys, and hardly all of them
      ...Array.from({ length: 32 }, (_, index) => `${at}:${index}`).map((each) => servers.at(each, (redis) => redis.get(each))),
    ])
    // the place that checks take from now on has to be free
    await servers.at(at, (redis) => redis.pexpire(at, 0))
  }

  try {
    await tryEverything()
  } catch (error) {
    await servers.close()
    throw explained(error, address.form)
  }
  works()
  let isChecking = false
  const checkOnce = async () => {
    if (isChecking) return
    isChecking = true
    await check().then(works, lost)
    isChecking = false
  }
  const checking = setInterval(() => void checkOnce(), CHECK_INTERVAL_MS)

  return {
    async admit(snapshot) {
      return (await admit(snapshot.tally.poll, snapshot.tally, JSON.stringify(snapshot), KEPT_MS)) === 1
    },
    async forget(slug, epoch) {
      await servers.at(key(slug), (redis) => redis.forget(key(slug), epoch, KEPT_MS))
    },
    async heartbeat(at) {
      const before = await some(sourceKeys.map((each) => servers.at(each, (redis) => redis.set(each, at, 'GET'))))
      return before.every((value) => value !== null)
    },
    async keep(slugs) {
      const places = new Map<string, Versioned>()
      await Promise.all(
        slugs.map(async (slug) => {
          const kept = servers.at(key(slug), (redis) => redis.hmget(key(slug), 'epoch', 'version'))
          const [fields] = await Promise.all([
            unlessOfAnotherKind(kept),
            servers.at(key(slug), (redis) => redis.pexpire(key(slug), KEPT_MS)),
          ])
          if (fields === null) return
          if (!Array.isArray(fields)) throw new Error('Redis answers out of step')
          const [epoch, version] = fields
          if (epoch && version) places.set(slug, { epoch: Number(epoch), version: Number(version) })
        }),
      )
      return places
    },
    async latest(slugs) {
      const [sources, texts] = await Promise.all([
        some(sourceKeys.map((each) => servers.at(each, (redis) => redis.get(each)))),
        Promise.all(
          slugs.map((slug) => unlessOfAnotherKind(servers.at(key(slug), (redis) => redis.hget(key(slug), 'snapshot')))),
        ),
      ])
      const snapshots = new Map<string, Snapshot>()
      for (const [index, slug] of slugs.entries()) {
        const snapshot = decode(texts[index])
        if (snapshot !== undefined) snapshots.set(slug, snapshot)
      }
      const sourceAt = Math.max(...sources.map((value) => (value === null ? -Infinity : Number(value))))
      return { snapshots, sourceAt: Math.abs(sourceAt) <= MAX_DATE ? sourceAt : undefined }
    },
    async subscribe(slug, listener) {
      const at = channel(slug)
      const known = listeners.get(at) ?? new Set()
      listeners.set(at, known.add(listener))
      const unsubscribe = () => {
        known.delete(listener)
        if (known.size > 0 || listeners.get(at) !== known) return
        listeners.delete(at)
        servers.unsubscribe(at)
      }
      try {
        await servers.subscribe(at)
      } catch (error) {
        unsubscribe()
        throw error
      }
      return unsubscribe
    },
    async remember(mark) {
      await servers.at(markKey, (redis) => redis.set(markKey, mark, 'PX', KEPT_MS))
    },
    async remembered() {
      return (await unlessOfAnotherKind(servers.at(markKey, (redis) => redis.get(markKey)))) ?? undefined
    },
    async announce(presence) {
      const [at, text] = [presenceKey(presence.id), JSON.stringify(presence)]
      await Promise.all([
        servers.at(at, (redis) => redis.set(at, text, 'PX', PRESENCE_MS)),
        servers.at(presencesKey, (redis) => redis.sadd(presencesKey, presence.id)),
      ])
    },
    async present() {
      const ids = await servers.at(presencesKey, (redis) => redis.smembers(presencesKey))
      const found = await Promise.all(ids.map((id) => servers.at(presenceKey(id), (redis) => redis.get(presenceKey(id)))))
      const gone = ids.filter((_, index) => found[index] === null)
      if (gone.length > 0) await servers.at(presencesKey, (redis) => redis.srem(presencesKey, ...gone))
      return found.flatMap((text) => presenceIn(text) ?? [])
    },
    get health() {
      return health
    },
    async close() {
      clearInterval(checking)
      await servers.close()
    },
  }
}

/** What became of those that succeeded, if any did. */
async function some<T>(works: readonly Promise<T>[]): Promise<T[]> {
  const settled = await Promise.allSettled(works)
  const values = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  // the first of them throws
  return values.length > 0 ? values : await Promise.all(works)
}

/** Null where the key is of another kind than it should be: that is somebody else's doing, and the next `admit` replaces it. */
async function unlessOfAnotherKind<T>(work: Promise<T>): Promise<T | null> {
  return await work.catch((error: unknown) => {
    if (error instanceof Error && error.message.startsWith('WRONGTYPE')) return null
    throw error
  })
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
function decode(message: string | null | undefined): Snapshot | undefined {
  if (message == null || message.length > MAX_MESSAGE_CHARS) return undefined
  try {
    return Snapshot.safeParse(JSON.parse(message)).data
  } catch {
    return undefined
  }
}
