import { chown, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { providePrograms } from './debian.ts'
import { freePort } from './free-port.ts'
import { createServer } from './server.ts'
import { unprivilegedUser } from './unprivileged-user.ts'

/** A real pooler before a Postgres, with the settings that Debian's package comes with. */
export interface PgbouncerService {
  /** The given URL, by way of the pooler. */
  readonly url: string
  /** Kills it, which cuts everybody. */
  crash(): Promise<void>
  /** Starts it again at the same port. */
  start(): Promise<void>
  /** Ends it for good. May be called twice. */
  stop(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface PgbouncerOptions {
  /** The server, the database, and the role that it lets in, with its password. */
  readonly url: string
  readonly mode: 'session' | 'transaction' | 'statement'
  /** Connections to the server. Default 20. */
  readonly poolSize?: number
}

/** Starts PgBouncer. Installs Debian's package where it is missing and that is possible; throws otherwise. */
export async function startPgbouncer({ url, mode, poolSize = 20 }: PgbouncerOptions): Promise<PgbouncerService> {
  const [program = ''] = await providePrograms(['pgbouncer'])
  const user = unprivilegedUser()
  const directory = await mkdtemp(join(tmpdir(), 'livetally-pgbouncer-'))
  const port = await freePort()
  const server = new URL(url)
  const files = {
    'users.txt': `"${server.username}" "${server.password}"\n`,
    'pgbouncer.ini': `
[databases]
* = host=${server.hostname} port=${server.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${directory}/users.txt
pool_mode = ${mode}
default_pool_size = ${poolSize}
`,
  }
  for (const [name, content] of Object.entries(files)) await writeFile(join(directory, name), content)
  if (user !== undefined) {
    for (const path of [directory, ...Object.keys(files).map((name) => join(directory, name))]) {
      await chown(path, user.uid, user.gid)
    }
  }
  const pooler = createServer({
    name: program,
    command: program,
    args: [join(directory, 'pgbouncer.ini')],
    cwd: directory,
    user,
    readyLine: /process up: PgBouncer/,
    discard: ['rm', '-rf', directory],
  })
  // SIGINT would wait for clients in the middle of a transaction
  const stop = () => pooler.discard('SIGTERM')
  try {
    await pooler.start()
  } catch (error) {
    await stop()
    throw error
  }
  const pooled = new URL(url)
  pooled.host = `127.0.0.1:${port}`
  return {
    url: pooled.href,
    crash: () => pooler.end('SIGKILL'),
    start: () => pooler.start(),
    stop,
    [Symbol.asyncDispose]: stop,
  }
}
