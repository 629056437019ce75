/** The Docker engine that the deploy tests run on, and the images they start. */
import { fileURLToPath } from 'node:url'
import { dockerHas } from '../support/docker.ts'
import { run } from '../support/run.ts'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))

export type Balancer = 'traefik' | 'haproxy'

const TRAEFIK_IMAGE =
  process.env['TRAEFIK_IMAGE'] ?? 'traefik:v3.7.13@sha256:24841fe2de7304c149343d877d2923b4c8800a38ba015dea9174c23b20e344a0'

/** What keeps the deploy tests from running here, in one line; undefined when nothing does. */
export async function missingEngine(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'the deploy tests need root'
  const version = await docker('version', '--format', '{{.Server.Version}}').catch(() => '')
  if (version === '') return 'the deploy tests need a running Docker engine'
  for (const [plugin, name] of [
    ['compose', 'Compose v2'],
    ['buildx', 'Buildx'],
  ] as const) {
    if ((await docker(plugin, 'version').catch(() => '')) === '') return `the deploy tests need Docker ${name}`
  }
  return undefined
}

/** Traefik where its image can be had, else HAProxy: the same probes, the same gateways. */
export async function chooseBalancer(): Promise<Balancer> {
  return (await dockerHas(TRAEFIK_IMAGE)) ? 'traefik' : 'haproxy'
}

/** Runs a docker command and gives its output. Throws with what it said when it fails. */
export function docker(...args: readonly string[]): Promise<string> {
  return run('docker', args, { cwd: ROOT })
}

/** Builds the project's image under a tag, as a deploy of that version would. */
export async function buildImage(tag: string): Promise<void> {
  const base = process.env['BASE_IMAGE']
  const buildArgs = [`VERSION=${tag}`, ...(base === undefined ? [] : [`BASE_IMAGE=${base}`])].flatMap((arg) => [
    '--build-arg',
    arg,
  ])
  await docker('buildx', 'build', '--load', '--quiet', '--file', 'infra/images/Dockerfile', ...buildArgs, '--tag', tag, '.')
}

/** The ids of the running containers that have a label, such as `com.docker.swarm.service.name=livetally_gateway`. */
export async function containers(label: string): Promise<string[]> {
  const ids = await docker('ps', '--quiet', '--no-trunc', '--filter', `label=${label}`)
  return ids === '' ? [] : ids.split('\n')
}
