/**
 * A Redis Cluster: which node keeps which slot, learnt from the nodes, and again when one says MOVED or is lost.
 *
 * Livetally has its own since the one in ioredis makes its connections itself, without the bounds of `RedisConnection`.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { within } from '../lifecycle/within.ts'
import { ANSWER_MS, RedisConnection } from './redis-connection.ts'
import { RedisNode } from './redis-node.ts'
import type { RedisServers, RedisServersOptions } from './redis-servers.ts'
import { slotOf } from './redis-slot.ts'
import type { RedisHost } from './redis-url.ts'

/** How often a command follows the word of one node to the next. */
const MAX_HOPS = 8
/** How much longer it waits each time, in ms, from the second one on: for a moment, two nodes may each refer to the other. */
const HOP_MS = 40
/** How soon the cluster is looked at again after a node has said MOVED, and while one that keeps slots is not there, in ms. */
const LOOK_AGAIN_MS = 200
/** How often it is looked at anyway, in ms. */
const LOOK_MS = 10_000

interface Range {
  readonly first: number
  readonly last: number
  readonly host: RedisHost
}

/** Connects to all masters. Rejects when one cannot be reached, or no node says which they are; nothing is left open then. */
export async function connectCluster<Scripts>(options: RedisServersOptions): Promise<RedisServers<Scripts>> {
  const { address, ca, scripts, ownChannel } = options
  type Node = RedisNode<Scripts>
  const nodes = new Map<string, Node>()
  /** By channel, the node at which it is subscribed. */
  const channels = new Map<string, Node>()
  /** Nodes that have dropped channels, or refused them. */
  const moved = new Set<Node>()
  /** By slot. */
  let owners: (Node | undefined)[] = []
  let isSharded = true
  let turn = 0
  let looking: Promise<void> | undefined
  let soon: NodeJS.Timeout | undefined
  let isClosed = false

  const nodeAt = (host: RedisHost): Node => {
    const name = `${host.host}:${host.port}`
    const known = nodes.get(name)
    if (known !== undefined) return known
    const node: Node = new RedisNode<Scripts>(
      { address, host, ca, scripts },
      {
        onMessage: options.onMessage,
        isSharded: () => isSharded,
        onLost(error) {
          lookSoon()
          options.onLost(new Error(`${name}: ${error.message}`, { cause: error }))
        },
        onMoved() {
          moved.add(node)
          lookSoon()
        },
      },
    )
    nodes.set(name, node)
    // whoever needs the node now waits for this; it goes on trying
    node.open().catch(() => {})
    return node
  }

  /** Asks the nodes in turn, since one that is cut off does not know what the others agreed on. */
  const askForRanges = async (): Promise<Range[]> => {
    const known = [...nodes.values()].filter(({ isReady }) => isReady)
    turn += 1
    for (const index of known.keys()) {
      const node = known[(turn + index) % known.length]
      if (node === undefined) continue
      const ranges = await rangesOf(node.commands, node.host).catch(() => [])
      if (ranges.length > 0) return ranges
    }
    let reason: unknown = new Error('CLUSTERDOWN no node keeps any slot')
    for (const host of address.hosts) {
      const seed = new RedisConnection({ address, host, ca })
      seed.on('error', () => {})
      try {
        await seed.open()
        const ranges = await rangesOf(seed, host)
        if (ranges.length > 0) return ranges
      } catch (error) {
        reason = error
      } finally {
        seed.disconnect()
      }
    }
    throw reason
  }

  const learn = async () => {
    const ranges = await askForRanges()
    if (isClosed) return
    owners = []
    for (const { first, last, host } of ranges) {
      const node = nodeAt(host)
      for (let slot = first; slot <= last; slot += 1) owners[slot] = node
    }
    const masters = new Set(owners)
    for (const [channel, node] of channels) {
      const owner = owners[slotOf(channel)]
      if (owner !== undefined && owner !== node) move(channel, node, owner)
    }
    // a slot may have come back to the node that dropped its channels
    for (const node of moved) void node.subscribeAgain()
    moved.clear()
    for (const [name, node] of nodes) {
      if (masters.has(node)) continue
      nodes.delete(name)
      void node.close()
    }
  }

  /** Subscribes the channel at its new node first, so that there is no gap while both are there. */
  const move = (channel: string, from: Node, to: Node) => {
    channels.set(channel, to)
    const subscribed = to.subscribe(channel).catch(() => {})
    // it may have come back meanwhile
    void subscribed.then(() => channels.get(channel) !== from && from.unsubscribe(channel))
  }

  const look = (): Promise<void> => {
    looking ??= learn()
      .catch(() => {})
      .finally(() => {
        looking = undefined
        if (owners.some((node) => node?.isReady !== true)) lookSoon()
      })
    return looking
  }

  const lookSoon = () => {
    if (isClosed) return
    soon ??= setTimeout(() => {
      soon = undefined
      void look()
    }, LOOK_AGAIN_MS)
  }

  /** Does the work at the node that keeps the key, or at those to which nodes refer it. */
  const follow = async <T>(key: string, work: (node: Node) => Promise<T>): Promise<T> => {
    const slot = slotOf(key)
    let node = owners[slot]
    let isAsked = false
    for (let hops = 0; ; hops += 1) {
      if (node === undefined) {
        lookSoon()
        throw new Error('CLUSTERDOWN no node keeps the slot')
      }
      if (!node.isReady) await node.open().catch(() => {})
      try {
        // for the next command alone
        if (isAsked) node.commands.asking().catch(() => {})
        return await work(node)
      } catch (error) {
        const word = referralIn(error, node.host)
        if (word === undefined || hops === MAX_HOPS) {
          if (!node.isReady || isDown(error)) lookSoon()
          throw error
        }
        if (hops > 0) await delay(HOP_MS * hops)
        node = nodeAt(word.host)
        isAsked = word.isForOnce
        if (isAsked) continue
        owners[slot] = node
        lookSoon()
      }
    }
  }

  /** The whole way has the bound of one command. */
  const bounded = <T>(work: Promise<T>) => within(ANSWER_MS, 'the cluster has not answered', work)

  const close = async () => {
    isClosed = true
    clearTimeout(soon)
    clearInterval(regularly)
    await Promise.all([...nodes.values()].map((node) => node.close()))
  }

  const regularly = setInterval(() => void look(), LOOK_MS)
  try {
    await learn()
    await Promise.all([...nodes.values()].map((node) => node.open()))
    if (ownChannel !== undefined) {
      isSharded = await bounded(follow(ownChannel, ({ commands }) => hasShardChannels(commands, ownChannel)))
    }
  } catch (error) {
    await close()
    throw error
  }

  return {
    at: (key, work) => bounded(follow(key, (node) => work(node.commands))),
    publish: isSharded ? 'SPUBLISH' : 'PUBLISH',
    subscribe: (channel) =>
      bounded(
        follow(channel, async (node) => {
          const before = channels.get(channel)
          if (before !== node) before?.unsubscribe(channel)
          channels.set(channel, node)
          await node.subscribe(channel)
        }),
      ),
    unsubscribe(channel) {
      channels.get(channel)?.unsubscribe(channel)
      channels.delete(channel)
    },
    async check() {
      const masters = new Set(owners.filter((node) => node !== undefined))
      await Promise.all([...masters].map((node) => node.check()))
    },
    close,
  }
}

/** The slots as a node knows them. A node that does not know its own name leaves it out: it is where it was reached. */
async function rangesOf(redis: RedisConnection, reached: RedisHost): Promise<Range[]> {
  const ranges = await redis.cluster('SLOTS')
  return ranges.flatMap(([first, last, master]) => {
    const [host, port] = master ?? []
    return port === undefined ? [] : [{ first, last, host: { host: host || reached.host, port } }]
  })
}

/** Redis 7 has channels that only the nodes of one shard know; older ones tell every node of every message. */
async function hasShardChannels(redis: RedisConnection, channel: string): Promise<boolean> {
  try {
    await redis.spublish(channel, '')
    return true
  } catch (error) {
    if (error instanceof Error && error.message.includes('unknown command')) return false
    throw error
  }
}

/** Where a node says that the key is: for good (MOVED), or for this command (ASK). */
function referralIn(error: unknown, reached: RedisHost): { readonly host: RedisHost; readonly isForOnce: boolean } | undefined {
  const [, kind, host, port] = (error instanceof Error && /\b(MOVED|ASK) \d+ (\S*):(\d+)/.exec(error.message)) || []
  if (port === undefined) return undefined
  return { host: { host: host || reached.host, port: Number(port) }, isForOnce: kind === 'ASK' }
}

/** Whether the error says that the node is no master, or that the cluster does not work as the node sees it. */
function isDown(error: unknown): boolean {
  return error instanceof Error && /\b(?:CLUSTERDOWN|READONLY|MASTERDOWN)\b/.test(error.message)
}
