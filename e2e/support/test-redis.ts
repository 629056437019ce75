import { randomBytes } from 'node:crypto'
import { Redis } from 'ioredis'
import { testUrl } from './test-url.ts'

export interface TestRedis {
  readonly url: string
  /** A prefix for keys and channels that no other test uses. */
  readonly namespace: string
  /** Deletes every key whose name starts with the namespace. */
  forget(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

/** The test run's Redis, with a namespace of its own. Throws when the test was started without the runner. */
export function testRedis(): TestRedis {
  const url = testUrl('TEST_REDIS_URL')
  const namespace = `livetally-test-${randomBytes(6).toString('hex')}`
  const forget = () => forgetKeys(url, namespace)
  return { url, namespace, forget, [Symbol.asyncDispose]: forget }
}

async function forgetKeys(url: string, namespace: string): Promise<void> {
  const redis = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 1 })
  try {
    await redis.connect()
    const keys: string[] = []
    for await (const page of redis.scanStream({ match: `${namespace}*`, count: 1_000 }) as AsyncIterable<string[]>)
      keys.push(...page)
    if (keys.length > 0) await redis.del(...keys)
  } finally {
    redis.disconnect()
  }
}
