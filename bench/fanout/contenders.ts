/** The servers that are measured, each started as a process of its own and driven in the way it is used. */
import { createServer } from 'node:http'
import { fileURLToPath } from 'node:url'
import { createAdapter } from '@socket.io/redis-adapter'
import { Redis } from 'ioredis'
import { Server } from 'socket.io'
import { freePort } from '../../e2e/support/free-port.ts'
import { connectRedisBus } from '../../shared/bus/redis-bus.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import { startPinned, type PinnedProcess } from './pinned-process.ts'
import { monotonicUs, pollName, pollNames, pollQuery, snapshotAt } from './tally.ts'

export const CONTENDERS = ['livetally', 'ws', 'socket.io', 'epoll'] as const
export type ContenderName = (typeof CONTENDERS)[number]

export interface Contender {
  readonly pid: number
  readonly port: number
  /** Where a socket that follows the first so many polls is opened. */
  path(polls: number): string
  /** Changes the first so many polls at once; resolves to the version, which is the time in µs. */
  publish(polls: number): Promise<number>
  stop(): Promise<void>
}

export interface ContenderOptions {
  readonly redisUrl: string
  /** A prefix for Redis' keys and channels that nobody else uses. */
  readonly namespace: string
  readonly core: number | undefined
  /** The compiled epoll server, where there is a compiler. */
  readonly epollServer: string | undefined
}

const file = (path: string) => fileURLToPath(new URL(path, import.meta.url))
const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

/** Starts one and waits until it listens. All polls have a first tally then. */
export async function startContender(name: ContenderName, options: ContenderOptions): Promise<Contender> {
  const contender = await START[name](options)
  await contender.publish(4)
  return contender
}

const START: Record<ContenderName, (options: ContenderOptions) => Promise<Contender>> = {
  async livetally({ redisUrl, namespace, core }) {
    const gateway = startPinned({
      name: 'the gateway',
      command: process.execPath,
      args: [file('../../gateway/main.ts')],
      env: {
        PORT: '0',
        HOST: '127.0.0.1',
        METRICS_PORT: '0',
        REDIS_URL: redisUrl,
        REDIS_NAMESPACE: namespace,
        // the crowd has one address
        MAX_SOCKETS_PER_ADDRESS: '20000',
        HANDSHAKES_PER_SECOND: '10000',
        MAX_CONNECTIONS: '0',
        // never asked: each poll is on the bus before anybody connects
        BACKEND_URL: `http://127.0.0.1:${await freePort()}`,
      },
      core,
    })
    try {
      const bus = await connectRedisBus({ url: redisUrl, namespace, log: silent, now: Date.now })
      return {
        pid: gateway.pid,
        port: await listening(gateway),
        path: (polls) => `/ws?${pollQuery(polls)}`,
        async publish(polls) {
          const version = monotonicUs()
          await Promise.all(Array.from({ length: polls }, (_, index) => bus.admit(snapshotAt(index, version))))
          return version
        },
        async stop() {
          await bus.close()
          await gateway.stop()
        },
      }
    } catch (error) {
      await gateway.stop()
      throw error
    }
  },

  async ws({ core }) {
    const server = startPinned({ name: 'ws', command: process.execPath, args: [file('ws-server.ts')], core })
    return await drivenByLines(server, (polls) => `/?${pollQuery(polls)}`)
  },

  async 'socket.io'({ redisUrl, namespace, core }) {
    const server = startPinned({
      name: 'Socket.IO',
      command: process.execPath,
      args: [file('socketio-server.ts')],
      env: { REDIS_URL: redisUrl, REDIS_KEY: namespace },
      core,
    })
    // another node of the cluster, without clients: its news reach the server through Redis, as ours reach the gateway
    const redis = [new Redis(redisUrl), new Redis(redisUrl)] as const
    const io = new Server(createServer(), { adapter: createAdapter(...redis, { key: namespace }) })
    const stop = async () => {
      for (const connection of redis) connection.disconnect()
      await server.stop()
    }
    try {
      const port = await listening(server)
      const told = new Set<number>()
      return {
        pid: server.pid,
        port,
        path: (polls) => `/socket.io/?EIO=4&transport=websocket&polls=${pollNames(polls).join(',')}`,
        async publish(polls) {
          const version = monotonicUs()
          for (let index = 0; index < polls; index++) {
            const { tally } = snapshotAt(index, version)
            if (!told.has(index)) io.serverSideEmit('latest', pollName(index), tally)
            told.add(index)
            io.to(pollName(index)).emit('tally', tally)
          }
          return version
        },
        stop,
      }
    } catch (error) {
      await stop()
      throw error
    }
  },

  async epoll({ core, epollServer }) {
    if (epollServer === undefined) throw new Error('there is no compiler for the epoll server')
    const server = startPinned({ name: 'epoll', command: epollServer, args: [], core })
    return await drivenByLines(server, (polls) => `/?${pollQuery(polls)}`)
  },
}

async function drivenByLines(server: PinnedProcess, path: (polls: number) => string): Promise<Contender> {
  try {
    return {
      pid: server.pid,
      port: await listening(server),
      path,
      async publish(polls) {
        const version = monotonicUs()
        const lines = Array.from({ length: polls }, (_, index) => `${index} ${JSON.stringify(snapshotAt(index, version).tally)}`)
        server.write(lines.join('\n'))
        return version
      },
      stop: () => server.stop(),
    }
  } catch (error) {
    await server.stop()
    throw error
  }
}

async function listening(server: PinnedProcess): Promise<number> {
  for (;;) {
    const line = await server.line(20_000)
    if (!line.startsWith('{')) continue
    const { msg, port } = JSON.parse(line) as { msg?: string; port?: number }
    if (msg === 'listening' && port !== undefined) return port
  }
}
