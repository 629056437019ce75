/** Reads a list in Redis that another program pushes votes to. Each entry is taken at least once. */
import { randomUUID } from 'node:crypto'
import { Redis } from 'ioredis'
import { REDIS_OPTIONS } from '../../shared/bus/redis-options.ts'

export interface VoteList {
  /**
   * Takes the oldest entries, up to `max`; waits up to a second for the first. They stay with this consumer until `done`, which is to
   * be called before the next `take`. If the process dies before, another consumer of the list gets them within ten seconds.
   */
  take(max: number): Promise<string[]>
  /** Deletes the entries taken, and keeps the rejected ones in a list of their own, the last thousand of them. */
  done(rejected: readonly string[]): Promise<void>
  /** Puts entries that were taken and not done back to the front of the list, and disconnects. */
  close(): Promise<void>
}

export interface VoteListOptions {
  readonly url: string
  /** The name of the list in Redis. */
  readonly list: string
  /** Prefix of the keys that Livetally adds. */
  readonly namespace: string
}

const WAIT_SECONDS = 1
const ALIVE_MS = 10_000
const REJECTED_MAX = 1_000

/** KEYS: consumers, list. Puts the entries of consumers whose `alive` key has expired back to the front of the list, in order. */
const RECOVER = `
local back = 0
for _, own in ipairs(redis.call('SMEMBERS', KEYS[1])) do
  if redis.call('EXISTS', own .. ':alive') == 0 then
    while redis.call('LMOVE', own, KEYS[2], 'RIGHT', 'LEFT') do back = back + 1 end
    redis.call('SREM', KEYS[1], own)
  end
end
return back`

/** KEYS: list, own, consumers. Fills `own` up to ARGV[1] entries and sets the consumer's `alive` key for ARGV[2] ms. */
const TAKE = `
redis.call('SADD', KEYS[3], KEYS[2])
redis.call('SET', KEYS[2] .. ':alive', 1, 'PX', ARGV[2])
for i = 1, ARGV[1] - redis.call('LLEN', KEYS[2]) do
  if not redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT') then break end
end
return redis.call('LRANGE', KEYS[2], 0, -1)`

type TakingRedis = Redis & {
  recover(consumers: string, list: string): Promise<number>
  takeVotes(list: string, own: string, consumers: string, max: number, aliveMs: number): Promise<string[]>
}

/** Connects; rejects when Redis does not answer. */
export async function connectVoteList(options: VoteListOptions): Promise<VoteList> {
  const { list } = options
  const prefix = `${options.namespace}:ingest:${list}`
  const [consumers, own, rejects] = [`${prefix}:consumers`, `${prefix}:taken:${randomUUID()}`, `${prefix}:rejected`]
  const redis = new Redis(options.url, {
    ...REDIS_OPTIONS,
    scripts: { recover: { lua: RECOVER, numberOfKeys: 2 }, takeVotes: { lua: TAKE, numberOfKeys: 3 } },
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
        await redis.recover(consumers, list)
        recoveredAt = performance.now()
      }
      const taken = await redis.takeVotes(list, own, consumers, max, ALIVE_MS)
      if (taken.length > 0) return taken
      const first = await redis.blmove(list, own, 'LEFT', 'RIGHT', WAIT_SECONDS)
      return first === null ? [] : await redis.takeVotes(list, own, consumers, max, ALIVE_MS)
    },
    done: async (rejected) => {
      const pipeline = redis.multi().del(own)
      if (rejected.length > 0) pipeline.lpush(rejects, ...rejected).ltrim(rejects, 0, REJECTED_MAX - 1)
      await pipeline.exec()
    },
    close: async () => {
      try {
        if (redis.status === 'ready') {
          await redis.del(`${own}:alive`)
          await redis.recover(consumers, list)
        }
      } finally {
        redis.disconnect()
      }
    },
  }
}
