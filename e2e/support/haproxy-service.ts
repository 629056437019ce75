import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { providePrograms } from './debian.ts'
import { freePort } from './free-port.ts'
import { type ProxyOptions, replace, startProxy, type TlsProxy } from './proxy.ts'
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
  const [program = ''] = await providePrograms(['haproxy'])
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

/**
 * Starts HAProxy with `infra/haproxy/haproxy.cfg`, which ends TLS, or believes a proxy at `frontProxy` that does. Responses carry
 * `x-served-by`.
 */
export async function startShippedHaproxy({
  gateways,
  ...before
}: Omit<ProxyOptions, 'certificate'> & (Pick<ProxyOptions, 'certificate'> | { readonly frontProxy: string })): Promise<TlsProxy> {
  return await startProxy({
    program: 'haproxy',
    shipped: 'infra/haproxy/haproxy.cfg',
    adapt: (shipped, { port, plainPort }) =>
      replace(shipped, [
        [
          /^ *server-template .*$/gm,
          gateways.map((gateway, index) => `    server gateway${index} 127.0.0.1:${gateway}`).join('\n'),
        ],
        ['bind :8080', `bind 127.0.0.1:${plainPort}`],
        ['bind :8443', `bind 127.0.0.1:${port}`],
        [/\$\{?CERTIFICATE\}?/g, 'certificate' in before ? before.certificate.bundleFile : ''],
        [/\$\{?FRONT_PROXIES\}?/g, 'frontProxy' in before ? before.frontProxy : ''],
      ]),
    args: (file) => ['-W', '-db', '-f', file],
    readyLine: /Loading success|New worker/,
  })
}
