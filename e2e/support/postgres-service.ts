import { randomBytes } from 'node:crypto'
import { chown, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { containerRecipe, dockerHas } from './docker.ts'
import { freePort } from './free-port.ts'
import { installedPostgres } from './installed.ts'
import { run } from './run.ts'
import { createServer, type ServerRecipe } from './server.ts'
import { unprivilegedUser } from './unprivileged-user.ts'

/** A Postgres of the test's own, which it may stop or kill. With fsync on, it keeps what it acknowledged. */
export interface PostgresService {
  /** Connects as superuser to the database `postgres`. */
  readonly url: string
  readonly port: number
  /** Where it comes from, to be printed. */
  readonly origin: string
  /** Ends it at once and without a checkpoint (`pg_ctl stop -m immediate`): the next start recovers from its log. */
  crash(): Promise<void>
  /** Starts it again at the same port, with the data it had. */
  start(): Promise<void>
  /** Shuts it down properly, cutting whoever is connected; `start` brings it back. */
  shutDown(): Promise<void>
  /** Ends it and removes its data. May be called twice. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface PostgresOptions {
  /** A free one unless told. */
  readonly port?: number
  /** Further settings, such as `{ max_connections: '10' }`. */
  readonly settings?: Readonly<Record<string, string>>
}

export const POSTGRES_IMAGE =
  process.env['POSTGRES_IMAGE'] ?? 'postgres:17.11-alpine@sha256:b0f9560a2de083e2cc7382e75f808c7381a32852a7ec49117deedb300e552b24'

const SETTINGS = {
  max_connections: '300',
  // settings for a short life on a busy machine: no replication, no compiled queries, little memory
  wal_level: 'minimal',
  max_wal_senders: '0',
  jit: 'off',
  shared_buffers: '64MB',
}

interface Site {
  readonly port: number
  readonly password: string
  readonly settings: readonly string[]
}

/** Starts a Postgres: the one installed, or a container. Throws where this machine has neither. */
export async function startPostgres({ port, settings = {} }: PostgresOptions = {}): Promise<PostgresService> {
  const site: Site = {
    port: port ?? (await freePort()),
    password: randomBytes(12).toString('hex'),
    settings: Object.entries({ ...SETTINGS, ...settings }).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  }
  const recipe = (await installedRecipe(site)) ?? (await imageRecipe(site))
  if (recipe === undefined) throw new Error('there is no Postgres to start: install postgresql, or a Docker engine')
  const server = createServer(recipe)
  const stop = () => server.discard('SIGQUIT')
  try {
    await server.start()
  } catch (error) {
    await stop()
    throw error
  }
  return {
    url: `postgres://postgres:${site.password}@127.0.0.1:${site.port}/postgres`,
    port: site.port,
    origin: recipe.name,
    crash: () => server.end('SIGQUIT'),
    start: () => server.start(),
    shutDown: () => server.end('SIGINT'),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

async function installedRecipe({ port, password, settings }: Site): Promise<ServerRecipe | undefined> {
  const programs = await installedPostgres()
  if (programs === undefined) return undefined
  const user = unprivilegedUser()
  const directory = await mkdtemp(join(tmpdir(), 'livetally-postgres-'))
  const data = join(directory, 'data')
  const passwordFile = join(directory, 'password')
  try {
    await writeFile(passwordFile, password)
    if (user !== undefined) await Promise.all([directory, passwordFile].map((path) => chown(path, user.uid, user.gid)))
    // initdb need not flush its files: the server flushes what it acknowledges
    const creation = ['--pgdata', data, '--username', 'postgres', '--auth', 'scram-sha-256', '--pwfile', passwordFile]
    await run(join(programs, 'initdb'), [...creation, '--encoding', 'UTF8', '--no-locale', '--no-sync'], {
      cwd: directory,
      ...user,
    })
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
  return {
    name: join(programs, 'postgres'),
    command: join(programs, 'postgres'),
    args: ['-D', data, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', ...settings],
    cwd: directory,
    user,
    readyLine: /database system is ready to accept connections/,
    discard: ['rm', '-rf', directory],
  }
}

async function imageRecipe({ port, password, settings }: Site): Promise<ServerRecipe | undefined> {
  if (!(await dockerHas(POSTGRES_IMAGE))) return undefined
  return containerRecipe({
    name: 'postgres',
    image: POSTGRES_IMAGE,
    containerPort: 5432,
    port,
    dataDirectory: '/var/lib/postgresql/data',
    env: { POSTGRES_PASSWORD: password },
    command: ['postgres', ...settings],
    // to set the database up, the image first runs a server on a Unix socket only, which listens at no port
    readyLine: /listening on IPv4 address[^]*ready to accept connections/,
  })
}
