/** What a program that shares Redis, or a careless hand, does to it. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import type { RedisService } from '../support/redis-service.ts'
import type { Journal } from './journal.ts'
import { LASTING_POLLS } from './organiser.ts'

const NAMESPACE = 'livetally'
const channelOf = (slug: string) => `${NAMESPACE}:news:${slug}`
const MIB = 1_048_576
/** Subscribers that have more than this to read are cut while a gateway is flooded. */
const FLOODED_LIMIT = `pubsub ${4 * MIB} ${4 * MIB} 0`
const USUAL_LIMIT = `pubsub ${32 * MIB} ${8 * MIB} 60`
const FLOOD_EVERY_MS = 50
/** Ten megabytes on a machine that is very busy take a while. */
const COMMAND_MS = 30_000
/** None of them is a tally. */
const GARBAGE = [
  '',
  '{',
  'null',
  '[]',
  '"tea"',
  '{"epoch":1,"version":1}',
  '{"__proto__":{"poll":"tea-or-coffee"}}',
  '\u0000\uffff',
  '['.repeat(60_000),
  'x'.repeat(10 * MIB),
]

/** Lets Redis come back with what it held `ageMs` before it died. */
export async function comeBackOlder(redis: RedisService, ageMs: number, downMs: number): Promise<void> {
  const dump = await withRedis(redis.url, async (client) => {
    await client.save()
    const [, directory = ''] = await client.config('GET', 'dir')
    return join(directory, 'dump.rdb')
  })
  await delay(ageMs)
  await redis.kill()
  await delay(downMs)
  await redis.start()
  await rm(dump, { force: true })
}

/** Deletes everything, so many times. */
export async function empty(redis: RedisService, times: number, everyMs: number): Promise<void> {
  await withRedis(redis.url, async (client) => {
    for (let time = 0; time < times; time += 1) {
      await client.flushall()
      await delay(everyMs)
    }
  })
}

/** Ends connections of a type, again and again. */
export async function cutConnections(redis: RedisService, type: 'normal' | 'pubsub', everyMs: number, forMs: number) {
  await withRedis(redis.url, async (client) => {
    const until = Date.now() + forMs
    while (Date.now() < until) {
      await client.call('CLIENT', 'KILL', 'TYPE', type)
      await delay(everyMs)
    }
  })
}

/** Publishes on the channels of polls what is no tally, ten megabytes, the same tally many times, and one that is old by then. */
export async function publishRubbish(redis: RedisService, journal: Journal, ageMs: number, copies: number): Promise<void> {
  await withRedis(redis.url, async (client) => {
    const kept = () => Promise.all(LASTING_POLLS.map((slug) => client.hget(`${NAMESPACE}:tally:${slug}`, 'snapshot')))
    const old = await kept()
    await delay(ageMs)
    const newest = await kept()
    for (const [index, slug] of LASTING_POLLS.entries()) {
      const [before, now] = [old[index] ?? '', newest[index] ?? '']
      const repeated = Array.from({ length: copies }, (_, copy) => (copy % 2 === 0 ? now : before))
      for (const message of [...GARBAGE, before, now.slice(0, -7), ...repeated]) await client.publish(channelOf(slug), message)
    }
    journal.write({ rubbish: LASTING_POLLS.length * (GARBAGE.length + 2 + copies), older: old.map((text) => text?.length) })
  })
}

/** Publishes megabytes for so long, and lets Redis cut whoever does not read them. */
export async function flood(redis: RedisService, journal: Journal, forMs: number): Promise<void> {
  await withRedis(redis.url, async (client) => {
    const limit = (text: string) => client.config('SET', 'client-output-buffer-limit', text)
    const subscribers = async () => String(await client.call('CLIENT', 'LIST', 'TYPE', 'pubsub')).match(/\bid=\d+/g) ?? []
    await limit(FLOODED_LIMIT)
    const before = await subscribers()
    const until = Date.now() + forMs
    try {
      while (Date.now() < until) {
        await client.publish(channelOf(LASTING_POLLS[0]), 'x'.repeat(MIB))
        await delay(FLOOD_EVERY_MS)
      }
    } finally {
      await limit(USUAL_LIMIT)
    }
    const after = new Set(await subscribers())
    journal.write({ cutSubscribers: before.filter((id) => !after.has(id)).length, of: before.length })
  })
}

async function withRedis<T>(url: string, use: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(url, {
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    commandTimeout: COMMAND_MS,
  })
  client.on('error', () => {})
  try {
    await client.connect()
    return await use(client)
  } finally {
    client.disconnect()
  }
}
