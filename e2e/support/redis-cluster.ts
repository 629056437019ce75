/** A Redis Cluster of three masters, with a replica each or none. */
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { freePort } from './free-port.ts'
import { ADMIN, type RedisSecurity } from './redis-secured.ts'
import { startRedis, type RedisService } from './redis-service.ts'

export interface ClusterNode {
  readonly redis: RedisService
  /** Where clients reach it. */
  readonly port: number
  /** A connection with all rights. */
  readonly admin: Redis
  readonly id: string
}

export interface RedisClusterService {
  /** What comes behind `redis+cluster://`, with the login in front of it. */
  readonly hosts: string
  readonly masters: readonly ClusterNode[]
  /** That of each master, in their order; empty without replicas. */
  readonly replicas: readonly ClusterNode[]
  /** Starts one more master, which keeps no slots yet. */
  addMaster(): Promise<ClusterNode>
  /** Moves a slot with its keys, as `redis-cli --cluster reshard` does. `midway` is called when its keys have moved and no node knows. */
  moveSlot(slot: number, from: ClusterNode, to: ClusterNode, midway?: () => Promise<void>): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface RedisClusterOptions {
  readonly security?: RedisSecurity
  readonly withReplicas?: boolean
  readonly args?: readonly string[]
  /** Resolves to the port at which clients reach a node that listens at this one; the same unless told. */
  readonly announce?: (port: number) => Promise<number>
}

const MASTERS = 3
const SLOTS = 16_384
/** After how long without an answer a node counts as gone, in ms. */
const NODE_TIMEOUT_MS = 1_000

export async function startRedisCluster(options: RedisClusterOptions = {}): Promise<RedisClusterService> {
  const { security, withReplicas = false, args = [], announce = async (port) => port } = options
  const started: { redis: RedisService; admin?: Redis }[] = []
  const stop = async () => {
    for (const { admin } of started) admin?.disconnect()
    await Promise.all(started.map(({ redis }) => redis.stop()))
  }
  const startNode = async (): Promise<ClusterNode & { readonly busPort: number }> => {
    const [port, busPort] = [await freePort(), await freePort()]
    const announced = await announce(port)
    const announcing =
      announced === port
        ? []
        : [security === undefined ? '--cluster-announce-port' : '--cluster-announce-tls-port', String(announced)]
    const redis = await startRedis({
      port,
      args: [
        '--cluster-enabled',
        'yes',
        '--cluster-port',
        String(busPort),
        '--cluster-node-timeout',
        String(NODE_TIMEOUT_MS),
        '--cluster-announce-ip',
        '127.0.0.1',
        '--repl-diskless-sync-delay',
        '0',
        // a master that has given its last slot away would become a replica by itself
        '--cluster-allow-replica-migration',
        'no',
        ...announcing,
        ...(security?.args(port) ?? []),
        ...args,
      ],
    })
    const tls = security === undefined ? {} : { tls: { ca: security.ca }, ...ADMIN }
    const admin = new Redis({ port, host: '127.0.0.1', ...tls, maxRetriesPerRequest: null })
    admin.on('error', () => {})
    started.push({ redis, admin })
    return { redis, port: announced, busPort, admin, id: await admin.cluster('MYID') }
  }
  try {
    const nodes = await Promise.all(Array.from({ length: withReplicas ? 2 * MASTERS : MASTERS }, startNode))
    const [masters, replicas] = [nodes.slice(0, MASTERS), nodes.slice(MASTERS)]
    const [first] = nodes
    for (const { redis, busPort } of nodes.slice(1)) await first?.admin.call('CLUSTER', 'MEET', '127.0.0.1', redis.port, busPort)
    for (const [index, { admin }] of masters.entries()) {
      const bounds = [Math.floor((index * SLOTS) / MASTERS), Math.floor(((index + 1) * SLOTS) / MASTERS) - 1]
      await admin.call('CLUSTER', 'ADDSLOTSRANGE', ...bounds)
      await admin.call('CLUSTER', 'SET-CONFIG-EPOCH', index + 1).catch(() => {})
    }
    await until(() => allOf(nodes, async ({ admin }) => (await clusterNodes(admin)).length === nodes.length))
    for (const [index, { admin }] of replicas.entries()) await admin.call('CLUSTER', 'REPLICATE', masters[index]?.id ?? '')
    await until(() => allOf(nodes, async ({ admin }) => /cluster_state:ok/.test(await admin.cluster('INFO'))))
    await until(() => allOf(replicas, async ({ admin }) => /master_link_status:up/.test(await admin.info('replication'))))
    await until(() =>
      allOf(
        nodes,
        async ({ admin }) => (await clusterNodes(admin)).filter((line) => line.includes('slave')).length === replicas.length,
      ),
    )
    return {
      hosts: masters.map(({ port }) => `127.0.0.1:${port}`).join(','),
      masters,
      replicas,
      async addMaster() {
        const node = await startNode()
        await first?.admin.call('CLUSTER', 'MEET', '127.0.0.1', node.redis.port, node.busPort)
        nodes.push(node)
        await until(() => allOf(nodes, async ({ admin }) => (await clusterNodes(admin)).length === nodes.length))
        // it takes commands once it has seen the others for a while
        await until(async () => /cluster_state:ok/.test(await node.admin.cluster('INFO')))
        return node
      },
      async moveSlot(slot, from, to, midway = async () => {}) {
        await to.admin.call('CLUSTER', 'SETSLOT', slot, 'IMPORTING', from.id)
        await from.admin.call('CLUSTER', 'SETSLOT', slot, 'MIGRATING', to.id)
        const login = security === undefined ? [] : ['AUTH2', ADMIN.username, ADMIN.password]
        for (;;) {
          const keys = (await from.admin.call('CLUSTER', 'GETKEYSINSLOT', slot, 100)) as string[]
          if (keys.length === 0) break
          await from.admin.call('MIGRATE', '127.0.0.1', to.redis.port, '', 0, 5_000, ...login, 'KEYS', ...keys)
        }
        await midway()
        await to.admin.call('CLUSTER', 'SETSLOT', slot, 'NODE', to.id)
        await from.admin.call('CLUSTER', 'SETSLOT', slot, 'NODE', to.id)
        for (const { admin, id } of nodes.filter((node) => !replicas.includes(node))) {
          if (id !== to.id && id !== from.id) await admin.call('CLUSTER', 'SETSLOT', slot, 'NODE', to.id)
        }
      },
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function clusterNodes(admin: Redis): Promise<string[]> {
  const text = String(await admin.cluster('NODES'))
  return text.split('\n').filter((line) => line !== '' && !line.includes('handshake'))
}

async function allOf<T>(items: readonly T[], holds: (item: T) => Promise<boolean>): Promise<boolean> {
  return (await Promise.all(items.map(holds))).every(Boolean)
}

async function until(holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error('the cluster is not ready')
    await delay(50)
  }
}
