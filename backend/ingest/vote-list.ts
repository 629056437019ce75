/** Reads a list in Redis that another program pushes votes to. Each entry is taken at least once. */
import { randomUUID } from 'node:crypto'
import { RedisConnection } from '../../shared/bus/redis-connection.ts'
import { wait } from '../../shared/lifecycle/clock.ts'
import { within } from '../../shared/lifecycle/within.ts'

/** An entry of the list and its place in it. */
export interface TakenEntry {
  /** A later entry has a higher one, whoever took it; a safe integer. */
  readonly order: number
  /** As the other program pushed it. */
  readonly text: string
}

export interface VoteList {
  /**
   * Takes the oldest entries, up to `max`; none after a moment in which there were none. They stay with this consumer until `done`, and
   * are returned again until then. If the process dies before, another consumer of the list gets them within fifteen seconds, with the
   * same orders.
   */
  take(max: number): Promise<TakenEntry[]>
  /** Deletes entries taken, and keeps those that were rejected in a list of their own, the last thousand of them. */
  done(entries: readonly TakenEntry[], rejected: readonly TakenEntry[]): Promise<void>
  /** Leaves entries that were taken and not done to the other consumers, and disconnects. */
  close(): Promise<void>
}

export interface VoteListOptions {
  readonly url: string
  /** The name of the list in Redis. */
  readonly list: string
  /** Prefix of the keys that Livetally adds. */
  readonly namespace: string
}

/** How long to wait when the list is empty. No command blocks, so that each one is answered or fails within its time. */
const IDLE_MS = 50
const ALIVE_MS = 10_000
/** How long closing waits for Redis, in ms. */
const LEAVE_MS = 1_000
const REJECTED_MAX = 1_000

/** How an entry that was taken begins: with its order and a blank, which no entry of the other program does. */
const HAS_ORDER = `local function has_order(entry) return string.find(entry, '^[1-8]' .. string.rep('%d', 15) .. ' ') ~= nil end`

/**
 * KEYS: consumers, list, recovered. Moves the entries of consumers whose `alive` key has expired to the front of `recovered`, in
 * order; to the front of the list those that a Livetally without orders took.
 */
const RECOVER = `
${HAS_ORDER}
for _, own in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if redis.call('EXISTS', own .. ':alive') == 0 then
    local entry = redis.call('RPOP', own)
    while entry do
      redis.call('LPUSH', has_order(entry) and KEYS[3] or KEYS[2], entry)
      entry = redis.call('RPOP', own)
    end
    redis.call('SREM', KEYS[1], own)
  end
end`

/**
 * KEYS: list, own, consumers, recovered, last. Sets the consumer's `alive` key for ARGV[2] ms, fills `own` up to ARGV[1] entries, and
 * returns them. Each entry of the list gets the order after `last`, but never less than the µs since 1970, so that orders rise even
 * if Redis loses `last`. Lua's numbers are doubles, which hold them exactly.
 */
const TAKE = `
${HAS_ORDER}
redis.call('SADD', KEYS[3], KEYS[2])
redis.call('SET', KEYS[2] .. ':alive', 1, 'PX', ARGV[2])
local room = ARGV[1] - redis.call('LLEN', KEYS[2])
while room > 0 and redis.call('LMOVE', KEYS[4], KEYS[2], 'LEFT', 'RIGHT') do room = room - 1 end
local fresh = room > 0 and redis.call('LPOP', KEYS[1], room)
if fresh then
  local time = redis.call('TIME')
  local order = math.max(tonumber(redis.call('GET', KEYS[5]) or 0), time[1] * 1000000 + time[2])
  for _, entry in ipairs(fresh) do
    order = order + 1
    redis.call('RPUSH', KEYS[2], has_order(entry) and entry or string.format('%.0f ', order) .. entry)
  end
  redis.call('SET', KEYS[5], string.format('%.0f', order))
end
return redis.call('LRANGE', KEYS[2], 0, -1)`

/**
 * KEYS: own, rejects. ARGV: how many rejects to keep, how many entries are done, their orders, the texts of the rejected ones. Takes
 * from `own` what is done and no more: a `take` whose answer was lost may have added to it.
 */
const DONE = `
local done = tonumber(ARGV[2])
for i = 3, done + 2 do
  local first = redis.call('LINDEX', KEYS[1], 0)
  if first and string.sub(first, 1, #ARGV[i] + 1) == ARGV[i] .. ' ' then redis.call('LPOP', KEYS[1]) end
end
for i = done + 3, #ARGV do redis.call('LPUSH', KEYS[2], ARGV[i]) end
if #ARGV > done + 2 then redis.call('LTRIM', KEYS[2], 0, ARGV[1] - 1) end`

type TakingRedis = RedisConnection & {
  recover(consumers: string, list: string, recovered: string): Promise<void>
  takeVotes(
    list: string,
    own: string,
    consumers: string,
    recovered: string,
    last: string,
    max: number,
    aliveMs: number,
  ): Promise<string[]>
  votesDone(
    own: string,
    rejects: string,
    rejectedMax: number,
    done: number,
    ...ordersAndTexts: (number | string)[]
  ): Promise<void>
}

/** Connects; rejects when Redis does not answer. */
export async function connectVoteList(options: VoteListOptions): Promise<VoteList> {
  const { list } = options
  const prefix = `${options.namespace}:ingest:${list}`
  const own = `${prefix}:taken:${randomUUID()}`
  const [consumers, recovered, last, rejects] = ['consumers', 'recovered', 'last', 'rejected'].map(
    (name) => `${prefix}:${name}`,
  ) as [string, string, string, string]
  const redis = new RedisConnection(options.url, {
    recover: { lua: RECOVER, numberOfKeys: 3 },
    takeVotes: { lua: TAKE, numberOfKeys: 5 },
    votesDone: { lua: DONE, numberOfKeys: 2 },
  }) as TakingRedis
  // without a listener an error would end the process; the next command rejects with it
  redis.on('error', () => {})
  try {
    await redis.connect()
  } catch (error) {
    redis.disconnect()
    throw new Error('Redis does not answer', { cause: error })
  }
  let recoveredAt = -Infinity
  return {
    take: async (max) => {
      if (performance.now() > recoveredAt + ALIVE_MS / 2) {
        await redis.recover(consumers, list, recovered)
        recoveredAt = performance.now()
      }
      const taken = await redis.takeVotes(list, own, consumers, recovered, last, max, ALIVE_MS)
      if (taken.length === 0) await wait(IDLE_MS)
      return taken.map(entryOf)
    },
    done: async (entries, rejected) => {
      const [orders, texts] = [entries.map(({ order }) => order), rejected.map(({ text }) => text)]
      await redis.votesDone(own, rejects, REJECTED_MAX, orders.length, ...orders, ...texts)
    },
    close: async () => {
      const leave = async () => {
        await redis.del(`${own}:alive`)
        await redis.recover(consumers, list, recovered)
      }
      // what is not left to the others now is theirs once the `alive` key has expired
      if (redis.status === 'ready') await within(LEAVE_MS, 'Redis did not answer', leave()).catch(() => {})
      redis.disconnect()
    },
  }
}

function entryOf(taken: string): TakenEntry {
  const blank = taken.indexOf(' ')
  return { order: Number(taken.slice(0, blank)), text: taken.slice(blank + 1) }
}
