import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { canInstall, installPackages } from './debian.ts'
import { freePort } from './free-port.ts'
import { onPath } from './installed.ts'
import { createServer } from './server.ts'

/** A real load balancer in front of gateways, as in production. */
export interface HaproxyService {
  readonly url: string
  stop(): Promise<void>
}

/**
 * Starts HAProxy before one slot per port; a slot takes part while `/ready` answers 200 there, asked every second. Responses carry
 * `x-served-by: slot0`, `slot1`, …. Installs Debian's package where it is missing and that is possible; throws otherwise.
 */
export async function startHaproxy(ports: readonly number[]): Promise<HaproxyService> {
  const program = await installedHaproxy()
  const directory = await mkdtemp(join(tmpdir(), 'livetally-haproxy-'))
  const port = await freePort()
  const file = join(directory, 'haproxy.cfg')
  await writeFile(file, settings(port, ports))
  const server = createServer({
    name: program,
    command: program,
    args: ['-W', '-db', '-f', file],
    cwd: directory,
    readyLine: /Loading success|New worker/,
    discard: ['rm', '-rf', directory],
  })
  const stop = () => server.discard('SIGTERM')
  try {
    await server.start()
  } catch (error) {
    await stop()
    throw error
  }
  return { url: `http://127.0.0.1:${port}`, stop }
}

function settings(port: number, ports: readonly number[]): string {
  const slots = ports.map((slot, index) => `  server slot${index} 127.0.0.1:${slot} check inter 1s fall 1 rise 1`)
  return `
global
  maxconn 9000
defaults
  mode http
  timeout connect 5s
  timeout check 5s
  timeout client 60s
  timeout server 60s
  timeout tunnel 1h
  option redispatch
  retries 3
  retry-on conn-failure empty-response
frontend edge
  bind 127.0.0.1:${port}
  default_backend gateways
backend gateways
  balance roundrobin
  option httpchk GET /ready
  http-check expect status 200
  http-response set-header x-served-by %s
${slots.join('\n')}
`
}

async function installedHaproxy(): Promise<string> {
  const find = () => onPath('haproxy', ['/usr/sbin'])
  const found = await find()
  if (found !== undefined) return found
  if (await canInstall()) await installPackages(['haproxy'])
  const installed = await find()
  if (installed === undefined) throw new Error('the rolling restart needs a load balancer: install haproxy')
  return installed
}
