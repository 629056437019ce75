/** The files that change a deployment fit the files that they change: engines take a name that is misspelt for a new one. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parse, parseAllDocuments } from 'yaml'

interface Deployment {
  readonly services: Readonly<
    Record<string, { readonly environment?: Record<string, unknown>; readonly deploy?: Labelled } & Labelled>
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

  test(`Traefik in ${base} has every middleware and service that a router names`, () => {
    const all = Object.values(deployment(base).services).map(({ labels, deploy }) => ({ ...labels, ...deploy?.labels }))
    const keys = all.flatMap((labels) => Object.keys(labels))
    for (const labels of all) {
      for (const [key, value] of Object.entries(labels)) {
        const kind = /routers\.[^.]+\.(middlewares|service)$|middlewares\.[^.]+\.errors\.(service)$/.exec(key)
        if (kind === null) continue
        for (const name of value.split(','))
          assert.ok(
            keys.some((other) =>
              other.startsWith(`traefik.http.${kind[1] === 'middlewares' ? 'middlewares' : 'services'}.${name}.`),
            ),
            `${key}: ${name}`,
          )
      }
    }
  })
}

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

interface Ingress {
  readonly metadata: { readonly name: string; readonly annotations?: object }
  readonly spec: { readonly tls: readonly { readonly secretName?: string }[] }
}
interface Kustomization {
  readonly resources: readonly string[]
  readonly patches: readonly { readonly target: { readonly kind: string; readonly name: string } }[]
}
