/** One Redis, whoever says where it is: its name, or Sentinels. */
import { RedisNode } from './redis-node.ts'
import type { RedisServers, RedisServersOptions } from './redis-servers.ts'

/** Connects to it. Rejects when it cannot be reached; nothing is left open then. */
export async function connectSingle<Scripts>(options: RedisServersOptions): Promise<RedisServers<Scripts>> {
  const node = new RedisNode<Scripts>(options, options)
  try {
    await node.open()
  } catch (error) {
    await node.close()
    throw error
  }
  return {
    async at(_, work) {
      try {
        return await work(node.commands)
      } catch (error) {
        // a master that was made a replica: its name, or the Sentinels, say another one by now, or will
        if (error instanceof Error && /\bREADONLY\b/.test(error.message)) node.reopen()
        throw error
      }
    },
    publish: 'PUBLISH',
    subscribe: (channel) => node.subscribe(channel),
    unsubscribe: (channel) => node.unsubscribe(channel),
    check: () => node.check(),
    close: () => node.close(),
  }
}
