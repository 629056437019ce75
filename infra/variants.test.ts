/** The files that change a deployment fit the files that they change: engines take a name that is misspelt for a new one. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parse, parseAllDocuments } from 'yaml'

interface Deployment {
  readonly services: Readonly<
    Record<
      string,
      {
        readonly environment?: Record<string, unknown>
        readonly deploy?: Labelled
        readonly stop_grace_period?: string
      } & Labelled
    >
  >
}
interface Labelled {
  readonly labels?: Readonly<Record<string, string>>
}

const read = (file: string) => readFileSync(fileURLToPath(new URL(`../${file}`, import.meta.url)), 'utf8')
/** Without the tags with which Compose says to drop something. */
const deployment = (file: string) => parse(read(file).replaceAll('!reset ', ''), { merge: true }) as Deployment

/** The files that may follow another, and the services that they bring along. */
const VARIANTS = [
  ['compose.yaml', 'infra/compose/tls.yaml', []],
  ['compose.yaml', 'infra/compose/front-proxy.yaml', []],
  ['compose.yaml', 'infra/haproxy/compose.yaml', ['haproxy']],
  ['compose.yaml', 'infra/compose/backup.yaml', ['backups', 'dump', 'restore-dump', 'base-backup', 'restore-base-backup']],
  ['compose.yaml', 'infra/compose/data-layer.yaml', ['standby', 'pgbouncer', 'pgbouncer-standby', 'redis-replica', 'sentinel']],
  ['infra/swarm/stack.yml', 'infra/swarm/tls.yml', []],
  ['infra/swarm/stack.yml', 'infra/swarm/front-proxy.yml', []],
  ['infra/swarm/stack.yml', 'infra/swarm/blue-green.yml', ['gateway-green']],
  ['infra/swarm/stack.yml', 'infra/haproxy/stack.yml', ['haproxy']],
] as const

for (const [base, variant, brought] of VARIANTS) {
  test(`${variant} changes services that ${base} has`, () => {
    const { services } = deployment(base)
    for (const name of Object.keys(deployment(variant).services))
      assert.ok(name in services || (brought as readonly string[]).includes(name), name)
  })
}

for (const [base, tls] of [
  ['compose.yaml', 'infra/compose/tls.yaml'],
  ['infra/swarm/stack.yml', 'infra/swarm/tls.yml'],
] as const) {
  test(`${tls} gives the entry point with TLS what ${base} gives the plain one, and names what there is`, () => {
    const plain = deployment(base).services['traefik']?.environment ?? {}
    const { traefik, fallback } = deployment(tls).services
    for (const [name, value] of Object.entries(plain)) {
      if (name.startsWith('TRAEFIK_ENTRYPOINTS_WEB_TRANSPORT_'))
        assert.equal(traefik?.environment?.[name.replace('_WEB_', '_WEBSECURE_')], value, name)
    }
    const provider = base === 'compose.yaml' ? 'docker' : 'swarm'
    assert.equal(traefik?.environment?.['TRAEFIK_ENTRYPOINTS_WEBSECURE_HTTP_MIDDLEWARES'], `livetally-hsts@${provider}`)
    const labels = fallback?.labels ?? fallback?.deploy?.labels
    assert.ok(labels?.['traefik.http.middlewares.livetally-hsts.headers.stsseconds'])
  })
}

for (const [provider, failover, files] of [
  ['docker', 'infra/compose/failover.yaml', ['compose.yaml']],
  ['swarm', 'infra/swarm/failover.yml', ['infra/swarm/stack.yml', 'infra/swarm/blue-green.yml']],
] as const) {
  test(`Traefik has every middleware and service that a router of ${files.join(' and ')} names`, () => {
    const services = files.flatMap((file) => Object.values(deployment(file).services))
    const labels = services.flatMap((service) => Object.entries({ ...service.labels, ...service.deploy?.labels }))
    const isThere = (kind: string, name: string) =>
      labels.some(([key]) => key.startsWith(`traefik.http.${kind}.${name}.`)) || name in failovers
    const failovers = Object.fromEntries(
      Object.entries((parse(read(failover)) as Failover).http.services).map(([name, service]) => [`${name}@file`, service]),
    )
    for (const [key, value] of labels) {
      if (/routers\.[^.]+\.middlewares$/.test(key))
        for (const name of value.split(',')) assert.ok(isThere('middlewares', name), `${key}: ${name}`)
      if (/routers\.[^.]+\.service$|middlewares\.[^.]+\.errors\.service$/.test(key))
        assert.ok(isThere('services', value), `${key}: ${value}`)
    }
    for (const { failover: ways } of Object.values(failovers)) {
      for (const name of Object.values(ways)) assert.ok(isThere('services', name.replace(`@${provider}`, '')), name)
    }
  })
}

for (const [file, gateway] of [
  ['compose.yaml', 'gateway'],
  ['infra/swarm/stack.yml', 'gateway'],
  ['infra/swarm/blue-green.yml', 'gateway-green'],
] as const) {
  test(`${file} passes on all durations of a drain, and ends it before the engine does`, () => {
    const { environment = {}, stop_grace_period: grace } = deployment(file).services[gateway] ?? {}
    const defaultOf = (variable: string) =>
      Number(new RegExp(`^\\$\\{${variable}:-(\\d+)\\}$`).exec(String(environment[variable]))?.[1])
    const [noticeMs, spreadMs, deadlineMs] = ['NOTICE', 'SPREAD', 'DEADLINE'].map((part) => defaultOf(`DRAIN_${part}_MS`))
    assert.ok(Number(noticeMs) + Number(spreadMs) + 7_000 <= Number(deadlineMs), `${noticeMs} ${spreadMs} ${deadlineMs}`)
    assert.ok(Number(deadlineMs) < Number.parseInt(String(grace), 10) * 1_000, String(grace))
  })
}

test('green gateways have the settings of blue ones', () => {
  const blue = deployment('infra/swarm/stack.yml').services['gateway']?.environment
  assert.deepEqual(deployment('infra/swarm/blue-green.yml').services['gateway-green']?.environment, blue)
})

test('blue-green switches between failovers that there are', () => {
  const { services } = (parse(read('infra/swarm/failover.yml')) as Failover).http
  const names = [...read('infra/swarm/blue-green').matchAll(/target=(\S+)@file/g)].map(([, name = '']) => name)
  assert.deepEqual(names.toSorted(), Object.keys(services).toSorted())
})

test('the Kubernetes variants change what the manifests have', () => {
  const [ingress] = parseAllDocuments(read('infra/kubernetes/ingress.yaml')).map((document) => document.toJS() as Ingress)
  assert.equal(ingress?.metadata.name, 'livetally')
  assert.ok(ingress.metadata.annotations, 'an annotation is added to those that there are')
  assert.ok(ingress.spec.tls[0]?.secretName)
  for (const variant of ['kubernetes-tls', 'kubernetes-front-proxy']) {
    const { resources, patches } = parse(read(`infra/${variant}/kustomization.yaml`)) as Kustomization
    assert.ok(resources.includes('../kubernetes'))
    for (const { target } of patches) {
      const file = target.kind === 'Ingress' ? 'ingress' : target.name
      assert.match(read(`infra/kubernetes/${file}.yaml`), new RegExp(`kind: ${target.kind}\nmetadata:\n  name: ${target.name}\n`))
    }
  }
})

interface Failover {
  readonly http: {
    readonly services: Readonly<Record<string, { readonly failover: { readonly service: string; readonly fallback: string } }>>
  }
}
interface Ingress {
  readonly metadata: { readonly name: string; readonly annotations?: object }
  readonly spec: { readonly tls: readonly { readonly secretName?: string }[] }
}
interface Kustomization {
  readonly resources: readonly string[]
  readonly patches: readonly { readonly target: { readonly kind: string; readonly name: string } }[]
}
