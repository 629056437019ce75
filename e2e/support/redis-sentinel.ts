/** A Redis with a replica, and three Sentinels that make the replica the master when the master is gone. */
import { chown, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Redis } from 'ioredis'
import { freePort } from './free-port.ts'
import { installedRedis } from './installed.ts'
import { ADMIN, type RedisSecurity } from './redis-secured.ts'
import { startRedis, type RedisService } from './redis-service.ts'
import { createServer } from './server.ts'
import { unprivilegedUser } from './unprivileged-user.ts'

export interface SentinelService {
  /** What comes behind `redis+sentinel://`, with the login in front of it. */
  readonly hosts: string
  readonly sentinelPorts: readonly number[]
  /** In the order in which they were started: the master first. */
  readonly servers: readonly [RedisService, RedisService]
  /** The port of the master, as the first Sentinel that answers says. */
  master(): Promise<number>
  [Symbol.asyncDispose](): Promise<void>
}

export const MASTER_NAME = 'tallies'

export interface SentinelOptions {
  readonly security?: RedisSecurity
  /** After how long without an answer the master counts as gone, in ms. Default 1 000. */
  readonly downAfterMs?: number
  /** Resolves to the port at which clients and Sentinels reach a server that listens at this one; the same unless told. */
  readonly announce?: (port: number) => Promise<number>
}

export async function startSentinels({
  security,
  downAfterMs = 1_000,
  announce = async (port) => port,
}: SentinelOptions = {}): Promise<SentinelService> {
  const started: { stop(): Promise<void> }[] = []
  const stop = async () => void (await Promise.all(started.map((each) => each.stop())))
  const server = async (masterPort?: number) => {
    const port = await freePort()
    const announced = await announce(port)
    const replica = masterPort === undefined ? [] : ['--replicaof', '127.0.0.1', String(masterPort)]
    const name = ['--replica-announce-ip', '127.0.0.1', '--replica-announce-port', String(announced)]
    const quick = ['--repl-diskless-sync-delay', '0', ...(security?.args(port) ?? [])]
    const redis = await startRedis({ port, args: [...replica, ...name, ...quick] })
    started.push(redis)
    return { redis, announced }
  }
  try {
    const master = await server()
    const replica = await server(master.announced)
    const settings = [
      'sentinel resolve-hostnames no',
      `sentinel monitor ${MASTER_NAME} 127.0.0.1 ${master.announced} 2`,
      `sentinel down-after-milliseconds ${MASTER_NAME} ${downAfterMs}`,
      `sentinel failover-timeout ${MASTER_NAME} 3000`,
      ...(security === undefined
        ? []
        : [`sentinel auth-user ${MASTER_NAME} ${ADMIN.username}`, `sentinel auth-pass ${MASTER_NAME} ${ADMIN.password}`]),
    ]
    const sentinelPorts: number[] = []
    for (let index = 0; index < 3; index += 1) {
      const port = await freePort()
      const sentinel = await createSentinel([...(security?.sentinelSettings(port) ?? [`port ${port}`]), ...settings])
      started.push(sentinel)
      sentinelPorts.push(port)
    }
    const ask = async (...words: [string, ...string[]]) => {
      for (const port of sentinelPorts) {
        const tls = security === undefined ? {} : { tls: { ca: security.ca } }
        const sentinel = new Redis({
          port,
          host: '127.0.0.1',
          ...tls,
          lazyConnect: true,
          enableReadyCheck: false,
          retryStrategy: null,
        })
        sentinel.on('error', () => {})
        try {
          await sentinel.connect()
          return await sentinel.call('SENTINEL', ...words)
        } catch {
          continue
        } finally {
          sentinel.disconnect()
        }
      }
      throw new Error('no Sentinel answers')
    }
    // they can agree on a failover once they know each other and the replica
    for (const deadline = performance.now() + 30_000; ;) {
      const answer = await ask('CKQUORUM', MASTER_NAME).catch(String)
      const replicas = await ask('REPLICAS', MASTER_NAME)
      const isInSync = JSON.stringify(replicas).includes('"master-link-status","ok"')
      if (String(answer).startsWith('OK 3') && isInSync) break
      if (performance.now() > deadline) throw new Error(`the Sentinels are not ready: ${String(answer)}`)
      await delay(100)
    }
    return {
      hosts: `${sentinelPorts.map((port) => `127.0.0.1:${port}`).join(',')}/${MASTER_NAME}`,
      sentinelPorts,
      servers: [master.redis, replica.redis],
      master: async () => Number(((await ask('GET-MASTER-ADDR-BY-NAME', MASTER_NAME)) as [string, string])[1]),
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function createSentinel(settings: readonly string[]): Promise<{ stop(): Promise<void> }> {
  const program = await installedRedis()
  if (program === undefined) throw new Error('there is no Sentinel to start: install redis-server')
  const user = unprivilegedUser()
  const directory = await mkdtemp(join(tmpdir(), 'livetally-sentinel-'))
  const file = join(directory, 'sentinel.conf')
  // a Sentinel writes into its settings what it learns
  await writeFile(file, [`dir ${directory}`, 'bind 127.0.0.1', ...settings].join('\n'))
  if (user !== undefined) for (const path of [directory, file]) await chown(path, user.uid, user.gid)
  const server = createServer({
    name: 'sentinel',
    command: program,
    args: [file, '--sentinel'],
    cwd: directory,
    user,
    readyLine: /Sentinel ID is|\+monitor/,
    discard: ['rm', '-rf', directory],
  })
  const stop = () => server.discard('SIGTERM')
  try {
    await server.start()
  } catch (error) {
    await stop()
    throw error
  }
  return { stop }
}
