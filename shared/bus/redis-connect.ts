/** Connects to the servers behind a REDIS_URL, whatever they are. */
import { connectCluster } from './redis-cluster.ts'
import { explained } from './redis-refusal.ts'
import type { RedisServers, RedisServersOptions } from './redis-servers.ts'
import { connectSingle } from './redis-single.ts'

/**
 * Rejects when a server cannot be reached, and the caller may try again; with `CannotWork` when something has to be set differently.
 * Nothing is left open then.
 */
export async function connectRedis<Scripts>(options: RedisServersOptions): Promise<RedisServers<Scripts>> {
  const { form } = options.address
  try {
    return form === 'cluster' ? await connectCluster<Scripts>(options) : await connectSingle<Scripts>(options)
  } catch (error) {
    throw explained(error, form)
  }
}
