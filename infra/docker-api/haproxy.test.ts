/** What Traefik may ask of Docker: a real HAProxy before an engine that notes what reaches it. */
import assert from 'node:assert/strict'
import { mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer, request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { globSync } from 'node:fs'
import { parse } from 'yaml'
import { providePrograms } from '../../e2e/support/debian.ts'
import { freePort } from '../../e2e/support/free-port.ts'
import { replace } from '../../e2e/support/proxy.ts'
import { createServer } from '../../e2e/support/server.ts'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

interface Service {
  readonly environment?: Readonly<Record<string, string>>
  readonly networks?: readonly string[]
  readonly ports?: readonly unknown[]
  readonly volumes?: readonly string[]
}

async function servicesOf(file: string): Promise<Readonly<Record<string, Service>>> {
  const text = await readFile(join(ROOT, file), 'utf8')
  const { services = {} } = parse(text.replaceAll('!reset ', ''), { merge: true }) as { services?: Record<string, Service> }
  return services
}

test("nobody has Docker's socket but the service that lets Traefik read, and only Traefik reaches that", async () => {
  const files = globSync(['compose.yaml', 'infra/**/*.{yaml,yml}'], { cwd: ROOT })
  assert.ok(files.includes('infra/swarm/stack.yml'))
  for (const file of files) {
    if (file.startsWith('infra/kubernetes')) continue
    for (const [name, service] of Object.entries(await servicesOf(file))) {
      const hasSocket = JSON.stringify(service?.volumes ?? []).includes('docker.sock')
      assert.equal(hasSocket, name === 'docker-api' && service?.volumes !== undefined, `${name} in ${file}`)
      const isAtApi = service?.networks?.includes('docker-api') === true
      assert.ok(!isAtApi || name === 'docker-api' || name === 'traefik', `${name} in ${file}`)
    }
  }
  for (const file of ['compose.yaml', 'infra/swarm/stack.yml']) {
    const { traefik, 'docker-api': api } = await servicesOf(file)
    assert.deepEqual(api?.networks, ['docker-api'])
    assert.equal(api.ports, undefined)
    assert.ok(traefik?.networks?.includes('docker-api'))
    const { networks } = parse(await readFile(join(ROOT, file), 'utf8'), { merge: true }) as { networks: Record<string, object> }
    assert.equal((networks['docker-api'] as { internal?: boolean }).internal, true)
  }
})

for (const [file, readable] of [
  [
    'compose.yaml',
    [
      '/containers/json?all=0&limit=0',
      '/v1.51/containers/json',
      '/v1.51/containers/0a1b2c/json',
      '/containers/livetally-gateway-1/json',
      '/v1.24/events?filters=%7B%7D',
    ],
  ],
  ['infra/swarm/stack.yml', ['/v1.51/services', '/v1.51/networks?filters=%7B%7D', '/tasks', '/v1.51/nodes/abc123']],
] as const) {
  test(`of the Docker API, ${file} lets Traefik read what its provider reads, and nothing else`, async (t) => {
    const READABLE = (await servicesOf(file))['docker-api']?.environment?.['READABLE'] ?? ''
    const { ask, reached } = await startProxy(t, READABLE)
    const good = ['/_ping', '/version', '/v1.51/version', ...readable]
    for (const path of good) assert.equal(await ask('GET', path), 200, path)
    assert.equal(await ask('HEAD', '/_ping'), 200)
    assert.deepEqual(reached.splice(0), [...good.map((path) => `GET ${path}`), 'HEAD /_ping'])
    for (const path of [
      '/',
      '/info',
      '/secrets',
      '/configs',
      '/images/json',
      '/swarm',
      '/swarm/unlockkey',
      '/volumes',
      '/plugins',
      '/session',

      '/containers/a/logs',
      '/containers/a/archive?path=/',
      '/containers/a/export',
      '/containers/a/attach/ws',
      '/containers/a/top',

      '/containers/../secrets/json',
      '/containers/%2e%2e/json',
      '/containers/a%2Flogs/json',
      '//containers/json',
      '/v1.51/../secrets',

      '/containers/json/../../secrets',
      '/version/../secrets',
      '/versions',
      '/x/version',
      '/services/a',
      '/services/a/logs',
      '/tasks/a/logs',
    ]) {
      assert.equal(await ask('GET', path), 403, path)
    }
    for (const method of ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE']) {
      for (const path of [...good, '/containers/create', '/containers/a/exec', '/services/create', '/swarm/leave']) {
        assert.equal(await ask(method, path), 403, `${method} ${path}`)
      }
    }
    assert.deepEqual(reached, [])
  })
}

/** Starts HAProxy with the shipped settings, at a socket of the test's own. */
async function startProxy(t: TestContext, READABLE: string) {
  const [program = ''] = await providePrograms(['haproxy'])
  const directory = await mkdtemp(join(tmpdir(), 'livetally-docker-api-'))
  const socket = join(directory, 'docker.sock')
  const reached: string[] = []
  const engine = createHttpServer((received, response) => {
    reached.push(`${received.method} ${received.url}`)
    response.end()
  }).listen(socket)
  const port = await freePort()
  const file = join(directory, 'haproxy.cfg')
  const shipped = await readFile(new URL('haproxy.cfg', import.meta.url), 'utf8')
  await writeFile(
    file,
    replace(shipped, [
      ['bind :2375', `bind 127.0.0.1:${port}`],
      ['unix@/var/run/docker.sock', `unix@${socket}`],
    ]),
  )
  const server = createServer({
    name: program,
    command: 'env',
    args: [`READABLE=${READABLE}`, program, '-W', '-db', '-f', file],
    cwd: directory,
    readyLine: /Loading success|New worker/,
    discard: ['rm', '-rf', directory],
  })
  t.after(async () => {
    await server.discard('SIGTERM')
    engine.close()
  })
  await server.start()
  const ask = (method: string, path: string) =>
    new Promise<number>((resolve, reject) => {
      const sent = request({ port, host: '127.0.0.1', method, path, agent: false }, (response) => {
        response.resume()
        response.on('end', () => resolve(response.statusCode ?? 0))
      })
      sent.on('error', reject).end()
    })
  return { ask, reached }
}
