import { chown, mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { containerRecipe, dockerHas } from './docker.ts'
import { freePort } from './free-port.ts'
import { installedRedis } from './installed.ts'
import { createServer, type ServerRecipe } from './server.ts'
import { unprivilegedUser } from './unprivileged-user.ts'

/** A Redis of the test's own, which it may stop or kill. It keeps nothing over a restart, like a cache that was lost. */
export interface RedisService {
  readonly url: string
  readonly port: number
  /** Where it comes from, to be printed. */
  readonly origin: string
  /** Ends it as a crash does (SIGKILL) and waits until it is gone. */
  kill(): Promise<void>
  /** Starts it again, at the same port and empty. */
  start(): Promise<void>
  /** Makes it hang: connections stay open and nothing is answered. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Ends it and removes what it left. May be called twice. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface RedisOptions {
  /** A free one unless told. */
  readonly port?: number
  /** The address at which it listens: 127.0.0.1 unless told. In a container it is always that. */
  readonly host?: string
  /** Further settings, as on its command line, such as `--maxmemory`, `8mb`. */
  readonly args?: readonly string[]
}

export const REDIS_IMAGE =
  process.env['REDIS_IMAGE'] ?? 'redis:7.4.11-alpine@sha256:ff02b58f971e7d7d156a1267e283fcbbeee91773b6aa36c49dac28ecfe28eadf'
const READY_LINE = /Ready to accept connections/

/** Starts a Redis: the one installed, or a container. Undefined where this machine has neither. */
export async function startRedis({ port, host = '127.0.0.1', args = [] }: RedisOptions = {}): Promise<RedisService> {
  const chosenPort = port ?? (await freePort())
  const recipe = await redisRecipe(chosenPort, host, args)
  if (recipe === undefined) throw new Error('there is no Redis to start: install redis-server, or a Docker engine')
  const server = createServer(recipe)
  const stop = () => server.discard('SIGTERM')
  try {
    await server.start()
  } catch (error) {
    await stop()
    throw error
  }
  return {
    url: `redis://${host.includes(':') ? `[${host}]` : host}:${chosenPort}`,
    port: chosenPort,
    origin: recipe.name,
    kill: () => server.end('SIGKILL'),
    start: () => server.start(),
    pause: () => server.send('SIGSTOP'),
    resume: () => server.send('SIGCONT'),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

async function redisRecipe(port: number, host: string, further: readonly string[]): Promise<ServerRecipe | undefined> {
  const program = await installedRedis()
  if (program !== undefined) {
    const user = unprivilegedUser()
    const directory = await mkdtemp(join(tmpdir(), 'livetally-redis-'))
    if (user !== undefined) await chown(directory, user.uid, user.gid)
    return {
      name: program,
      command: program,
      args: ['--port', String(port), '--bind', host, '--save', '', '--appendonly', 'no', '--dir', directory, ...further],
      cwd: directory,
      user,
      readyLine: READY_LINE,
      discard: ['rm', '-rf', directory],
    }
  }
  if (!(await dockerHas(REDIS_IMAGE))) return undefined
  return containerRecipe({
    name: 'redis',
    image: REDIS_IMAGE,
    containerPort: 6379,
    port,
    dataDirectory: '/data',
    command: ['redis-server', '--save', '', '--appendonly', 'no', ...further],
    readyLine: READY_LINE,
  })
}
