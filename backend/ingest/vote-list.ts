/** Reads a list in Redis that another program pushes votes to. Each entry is taken at least once. */
import { randomUUID } from 'node:crypto'
import { connectRedis } from '../../shared/bus/redis-connect.ts'
import { parseRedisUrl } from '../../shared/bus/redis-url.ts'
import { wait } from '../../shared/lifecycle/clock.ts'
import { CannotWork } from '../../shared/lifecycle/retry.ts'
import { within } from '../../shared/lifecycle/within.ts'

/** An entry of the list and its place in it. */
export interface TakenEntry {
  /** A later entry has a higher one, whoever took it; a safe integer. */
  readonly order: number
  /** As the other program pushed it; empty if it is larger than 16 MB, and then no vote. */
  readonly text: string
}

export interface VoteList {
  /**
   * Takes the oldest entries, up to `max` and to about 1 MB, but one at least; none after a moment in which there were none. They stay
   * with this consumer until `done`, and are returned again until then. If the process dies before, another consumer of the list gets
   * them within fifteen seconds, with the same orders.
   */
  take(max: number): Promise<TakenEntry[]>
  /** Deletes entries taken, and keeps those of them that were rejected in a list of their own, the last thousand of them. */
  done(entries: readonly TakenEntry[], rejected: readonly TakenEntry[]): Promise<void>
  /** Leaves entries that were taken and not done to the other consumers, or back to the list if there are none, and disconnects. */
  close(): Promise<void>
}

export interface VoteListOptions {
  readonly url: string
  /** As of the bus. */
  readonly ca?: string | undefined
  /** The name of the list in Redis; in a cluster with braces in it, so that its keys are all in one slot. */
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
/** So many bytes are taken at a time, and not much more: `take` has its answer within the time of a command over any connection. */
const MAX_BYTES = 1_048_576
/** An entry of more bytes is not read, since no answer might come in time. */
const TOO_LARGE = 16_777_216

/**
 * `own`, `recovered`: each entry behind its order, of sixteen digits, and a blank. In the list of the other program a JSON object that was
 * taken before has its order as its first member, which whoever reads the list ignores: another version of Livetally, or another
 * worker. What is no JSON object is no vote, and needs no order.
 */
const ORDERS = `
local ORDER = '[1-8]' .. string.rep('%d', 15)
local function put_back(list, taken)
  local order, text = string.sub(taken, 1, 16), string.sub(taken, 18)
  redis.call('LPUSH', list, (string.gsub(text, '^(%s*{)(%s*")', '%1"livetally_order":' .. order .. ',%2')))
end
local function with_order(entry, order)
  local before, known, rest = string.match(entry, '^(%s*{)"livetally_order":(' .. ORDER .. '),(.*)$')
  return known and known .. ' ' .. before .. rest or string.format('%.0f ', order) .. entry
end`

/**
 * KEYS: consumers, consumers of versions without orders, list, recovered. Moves the entries of consumers whose `alive` key has expired to
 * the front of `recovered`, or back to that of the list if they have no orders.
 */
const RECOVER = `
local function recover(consumers, target)
  for _, own in ipairs(redis.call('SMEMBERS', consumers)) do
    if redis.call('EXISTS', own .. ':alive') == 0 then
      while redis.call('LMOVE', own, target, 'RIGHT', 'LEFT') do end
      redis.call('SREM', consumers, own)
    end
  end
end
recover(KEYS[1], KEYS[4])
recover(KEYS[2], KEYS[3])`

/**
 * KEYS: as of `RECOVER`, and `own`. Leaves what the consumer has taken to the others; if there are none, puts all that was taken back to
 * the front of the list, so that the next to take it may be of any version.
 */
const LEAVE = `
${ORDERS}
redis.call('DEL', KEYS[5] .. ':alive')
${RECOVER}
if redis.call('EXISTS', KEYS[1]) == 0 then
  local entries = redis.call('LRANGE', KEYS[4], 0, -1)
  table.sort(entries, function(a, b) return string.sub(a, 1, 16) > string.sub(b, 1, 16) end)
  for _, taken in ipairs(entries) do put_back(KEYS[3], taken) end
  redis.call('DEL', KEYS[4])
end`

/**
 * KEYS: list, own, consumers, recovered, last. Sets the consumer's `alive` key for ARGV[2] ms, fills `own` up to ARGV[1] entries and
 * ARGV[3] bytes, the last of which may exceed that, and returns them; of one larger than ARGV[4] only the order. An entry without an
 * order gets the one after `last`, but never less than the µs since 1970, so that orders rise even if Redis loses `last`. Lua's
 * numbers are doubles, which hold them exactly.
 */
const TAKE = `
${ORDERS}
local max, max_bytes, too_large = tonumber(ARGV[1]), tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('SADD', KEYS[3], KEYS[2])
redis.call('SET', KEYS[2] .. ':alive', 1, 'PX', ARGV[2])
local taken, bytes = {}, 0
local function add(entry)
  bytes = bytes + #entry
  table.insert(taken, #entry > too_large and string.sub(entry, 1, 17) or entry)
end
local function next_of(source) return #taken < max and bytes < max_bytes and redis.call('LMOVE', source, KEYS[2], 'LEFT', 'RIGHT') end
for _, entry in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do add(entry) end
local entry = next_of(KEYS[4])
while entry do
  add(entry)
  entry = next_of(KEYS[4])
end
entry = next_of(KEYS[1])
if entry then
  local time = redis.call('TIME')
  local order = math.max(tonumber(redis.call('GET', KEYS[5]) or 0), time[1] * 1000000 + time[2])
  while entry do
    order = order + 1
    local numbered = with_order(entry, order)
    redis.call('LSET', KEYS[2], -1, numbered)
    add(numbered)
    entry = next_of(KEYS[1])
  end
  redis.call('SET', KEYS[5], string.format('%.0f', order))
end
return taken`

/**
 * KEYS: own, rejects. ARGV: how many rejects to keep, how many entries are done, their orders, those of the rejected ones among them.
 * Takes from `own` what is done and no more: a `take` whose answer was lost may have added to it. Rejects keep their bytes, which need
 * not be UTF-8.
 */
const DONE = `
local done = tonumber(ARGV[2])
local rejected = {}
for i = done + 3, #ARGV do rejected[ARGV[i]] = true end
for i = 3, done + 2 do
  local first = redis.call('LINDEX', KEYS[1], 0)
  if first and string.sub(first, 1, 17) == ARGV[i] .. ' ' then
    redis.call('LPOP', KEYS[1])
    if rejected[ARGV[i]] then redis.call('LPUSH', KEYS[2], string.sub(first, 18)) end
  end
end
redis.call('LTRIM', KEYS[2], 0, ARGV[1] - 1)`

/** The keys of `RECOVER`. */
type RecoverKeys = readonly [consumers: string, older: string, list: string, recovered: string]

interface Scripts {
  recover(...keys: RecoverKeys): Promise<void>
  leave(...keys: readonly [...RecoverKeys, own: string]): Promise<void>
  takeVotes(
    list: string,
    own: string,
    consumers: string,
    recovered: string,
    last: string,
    max: number,
    aliveMs: number,
    maxBytes: number,
    tooLarge: number,
  ): Promise<string[]>
  votesDone(own: string, rejects: string, rejectedMax: number, done: number, ...orders: number[]): Promise<void>
}

/** Connects; rejects when Redis cannot be reached, and with `CannotWork` when something has to be set differently. */
export async function connectVoteList(options: VoteListOptions): Promise<VoteList> {
  const { list } = options
  const prefix = `${options.namespace}:ingest:${list}`
  const own = `${prefix}:taken:${randomUUID()}`
  const [recovered, last, rejects] = [`${prefix}:recovered`, `${prefix}:last`, `${prefix}:rejected`]
  // a version without orders could not read what consumers with orders hold, so it does not find them among its own
  const consumers = `${prefix}:consumers-2`
  const recoverKeys: RecoverKeys = [consumers, `${prefix}:consumers`, list, recovered]
  const address = parseRedisUrl(options.url)
  if (address.form === 'cluster' && !/\{[^}]+\}/.test(list)) {
    throw new CannotWork(`INGEST_REDIS_LIST must have braces in a cluster, such as {${list}}: its keys are then in one slot`)
  }
  const servers = await connectRedis<Scripts>({
    address,
    ca: options.ca,
    scripts: {
      recover: { lua: RECOVER, numberOfKeys: 4 },
      leave: { lua: LEAVE, numberOfKeys: 5 },
      takeVotes: { lua: TAKE, numberOfKeys: 5 },
      votesDone: { lua: DONE, numberOfKeys: 2 },
    },
    onMessage: () => {},
    // the next command rejects
    onLost: () => {},
  })
  let recoveredAt = -Infinity
  return {
    take: async (max) => {
      if (performance.now() > recoveredAt + ALIVE_MS / 2) {
        await servers.at(list, (redis) => redis.recover(...recoverKeys))
        recoveredAt = performance.now()
      }
      const taken = await servers.at(list, (redis) =>
        redis.takeVotes(list, own, consumers, recovered, last, max, ALIVE_MS, MAX_BYTES, TOO_LARGE),
      )
      if (taken.length === 0) await wait(IDLE_MS)
      return taken.map(entryOf)
    },
    done: async (entries, rejected) => {
      const [orders, rejectedOrders] = [entries, rejected].map((some) => some.map(({ order }) => order)) as [number[], number[]]
      await servers.at(list, (redis) => redis.votesDone(own, rejects, REJECTED_MAX, orders.length, ...orders, ...rejectedOrders))
    },
    close: async () => {
      // what is not left to the others now is theirs once the `alive` key has expired
      const left = servers.at(list, (redis) => redis.leave(...recoverKeys, own))
      await within(LEAVE_MS, 'Redis did not answer', left).catch(() => {})
      await servers.close()
    },
  }
}

function entryOf(taken: string): TakenEntry {
  const blank = taken.indexOf(' ')
  return { order: Number(taken.slice(0, blank)), text: taken.slice(blank + 1) }
}
