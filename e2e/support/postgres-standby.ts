/** Copies of a running Postgres: standbys that stream from it, which may be promoted, and base backups. */
import { chown, mkdtemp, rm } from 'node:fs/promises'
import { createServer as createNetServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Client, type QueryResultRow } from 'pg'
import { freePort } from './free-port.ts'
import { installedPostgres } from './installed.ts'
import { startPostgres, type PostgresOptions, type PostgresService } from './postgres-service.ts'
import { run } from './run.ts'
import { createServer } from './server.ts'
import { unprivilegedUser } from './unprivileged-user.ts'

/** A copy of a Postgres, taken and not yet started. */
export interface PostgresCopy extends PostgresService {
  /** Makes a primary of a standby (`pg_ctl promote`). Resolves once it takes writes. */
  promote(): Promise<void>
}

export interface CopyOptions {
  /** Whether it follows its origin as a standby once it is started. A copy that does not is a base backup: it ends where it was taken. */
  readonly follows: boolean
  /** A free one unless told. */
  readonly port?: number
}

/** What both sides need to stream; a standby must allow as many connections as its primary. */
const REPLICATION = {
  wal_level: 'replica',
  max_wal_senders: '10',
  max_connections: '100',
  // for standbys that start late
  wal_keep_size: '256MB',
}
const SETTINGS = { ...REPLICATION, jit: 'off', shared_buffers: '64MB' }

/** Starts a Postgres from which copies can be taken. */
export async function startPrimary({ settings = {}, ...options }: PostgresOptions = {}): Promise<PostgresService> {
  return await startPostgres({ ...options, settings: { ...REPLICATION, ...settings } })
}

/**
 * A port for servers that take turns at it. It lies below those that the system gives away, so that nobody else gets it while it is free for
 * a moment.
 */
export async function placeForServers(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000)
    const server = createNetServer()
    const listens = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, '127.0.0.1', () => resolve(true))
    })
    if (!listens) continue
    await new Promise((resolve) => server.close(resolve))
    return port
  }
}

/** Copies a running Postgres with `pg_basebackup`. `url`: of its superuser; a standby streams from that address. */
export async function copyPostgres(url: string, { follows, port: given }: CopyOptions): Promise<PostgresCopy> {
  const programs = await installedPostgres()
  if (programs === undefined) throw new Error('copies need an installed Postgres')
  const user = unprivilegedUser()
  const port = given ?? (await freePort())
  const directory = await mkdtemp(join(tmpdir(), 'livetally-postgres-'))
  const data = join(directory, 'data')
  const discard = ['rm', '-rf', directory] as const
  try {
    if (user !== undefined) await chown(directory, user.uid, user.gid)
    const copying = ['--dbname', url, '--pgdata', data, '--wal-method=stream', '--checkpoint=fast', '--no-sync']
    await run(join(programs, 'pg_basebackup'), [...copying, ...(follows ? ['--write-recovery-conf'] : [])], {
      cwd: directory,
      ...user,
    })
  } catch (error) {
    await rm(directory, { recursive: true, force: true })
    throw error
  }
  const settings = Object.entries(SETTINGS).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const server = createServer({
    name: `a copy at ${port}`,
    command: join(programs, 'postgres'),
    args: ['-D', data, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-c', 'unix_socket_directories=', ...settings],
    cwd: directory,
    user,
    readyLine: /ready to accept (read-only )?connections/,
    discard,
  })
  const stop = () => server.discard('SIGQUIT')
  const own = new URL(url)
  own.port = String(port)
  return {
    url: own.href,
    port,
    origin: join(programs, 'postgres'),
    crash: () => server.end('SIGQUIT'),
    start: () => server.start(),
    shutDown: () => server.end('SIGINT'),
    promote: async () => {
      await run(join(programs, 'pg_ctl'), ['promote', '-D', data, '--wait'], { cwd: directory, ...user })
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

/** Runs one statement and gives its rows. */
export async function ask<Row extends QueryResultRow>(url: string, sql: string): Promise<Row[]> {
  const client = new Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query<Row>(sql)).rows
  } finally {
    await client.end()
  }
}
