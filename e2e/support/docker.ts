import { randomBytes } from 'node:crypto'
import { run } from './run.ts'
import type { ServerRecipe } from './server.ts'

/** Whether a Docker engine answers and has the image, or can get it. */
export async function dockerHas(image: string): Promise<boolean> {
  const answers = await run('docker', ['version', '--format', '{{.Server.Version}}'], { timeout: 5_000 }).catch(() => '')
  if (answers === '') return false
  return (await succeeds(['image', 'inspect', image])) || (await succeeds(['pull', '--quiet', image]))
}

function succeeds(args: readonly string[]): Promise<boolean> {
  return run('docker', args, { timeout: 300_000 }).then(
    () => true,
    () => false,
  )
}

export interface ContainerOptions {
  readonly name: string
  readonly image: string
  /** Where it listens inside the container. */
  readonly containerPort: number
  /** Where it is reachable on loopback. */
  readonly port: number
  /** Kept in a volume while the container comes and goes. */
  readonly dataDirectory: string
  readonly env?: Readonly<Record<string, string>>
  readonly command: readonly string[]
  readonly readyLine: RegExp
}

/** Runs a server in a container as if it were a process of this machine: the same signals, the same port after a restart. */
export function containerRecipe(options: ContainerOptions): ServerRecipe {
  const id = `livetally-test-${randomBytes(6).toString('hex')}`
  const env = Object.entries(options.env ?? {}).flatMap(([name, value]) => ['--env', `${name}=${value}`])
  return {
    name: `${options.name} (${options.image})`,
    command: 'docker',
    args: [
      'run',
      '--rm',
      '--name',
      id,
      '--publish',
      `127.0.0.1:${options.port}:${options.containerPort}`,
      '--volume',
      `${id}:${options.dataDirectory}`,
      ...env,
      options.image,
      ...options.command,
    ],
    cwd: '/',
    readyLine: options.readyLine,
    async send(signal) {
      // SIGSTOP has no effect on a container's first process, so the container is paused instead
      if (signal === 'SIGSTOP') await run('docker', ['pause', id])
      else if (signal === 'SIGCONT') await run('docker', ['unpause', id])
      else await run('docker', ['kill', '--signal', signal, id])
    },
    discard: ['sh', '-c', `docker rm --force ${id}; docker volume rm --force ${id}`],
  }
}
