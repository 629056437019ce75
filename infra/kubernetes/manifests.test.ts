import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { BlockList } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Deployment } from 'kubernetes-types/apps/v1.d.ts'
import type { Container, Service } from 'kubernetes-types/core/v1.d.ts'
import type { LabelSelector } from 'kubernetes-types/meta/v1.d.ts'
import type { NetworkPolicy, NetworkPolicyPeer } from 'kubernetes-types/networking/v1.d.ts'
import { parse, parseAllDocuments } from 'yaml'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const ROOT = fileURLToPath(new URL('../../', import.meta.url))

interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string }
}

let files: string[]
let manifests: Manifest[]
let services: Deployment[]

before(async () => {
  files = (await readdir(HERE)).filter((file) => file.endsWith('.yaml') && file !== 'kustomization.yaml')
  const texts = await Promise.all(files.map((file) => readFile(join(HERE, file), 'utf8')))
  manifests = texts.flatMap((text) => parseAllDocuments(text).map((document) => document.toJS() as Manifest))
  services = manifests.filter(({ kind }) => kind === 'Deployment') as Deployment[]
})

test('the kustomization names every manifest, and no other', async () => {
  const { resources } = parse(await readFile(join(HERE, 'kustomization.yaml'), 'utf8')) as { resources: string[] }
  assert.deepEqual(resources.toSorted(), files.toSorted())
})

test('every manifest is of the type that Kubernetes publishes for its kind', async () => {
  assert.equal(await typeErrors(manifests), '')
})

for (const [what, right, wrong] of [
  ['a misspelt probe', '"readinessProbe"', '"readynessProbe"'],
  ['a number for a string', '"value":"8000"', '"value":8000'],
  ['a strategy that is none', '"type":"RollingUpdate"', '"type":["Rolling"]'],
  ['a port without a number', '"name":"metrics","containerPort":9464', '"name":"metrics"'],
] as const) {
  test(`${what} is refused by that check`, async () => {
    const json = JSON.stringify(manifests)
    assert.ok(json.includes(right))
    assert.match(await typeErrors(JSON.parse(json.replace(right, wrong)) as Manifest[]), /error TS2\d+/)
  })
}

test('every container is restricted, probed, bounded in memory, and asks for what it needs', () => {
  for (const deployment of services) {
    const pod = deployment.spec?.template.spec
    assert.equal(pod?.securityContext?.runAsNonRoot, true)
    assert.equal(pod.securityContext.seccompProfile?.type, 'RuntimeDefault')
    assert.equal(pod.automountServiceAccountToken, false)
    const container = onlyContainer(deployment)
    assert.deepEqual(container.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    assert.ok(container.livenessProbe)
    assert.ok(container.readinessProbe)
    assert.ok(container.resources?.limits?.['memory'])
    assert.ok(container.resources.requests?.['cpu'])
  }
})

test('a rollout takes nobody away before the next is ready, and the drain fits into its grace period', () => {
  for (const name of ['gateway', 'backend']) {
    const deployment = services.find(({ metadata }) => metadata?.name === name)
    assert.deepEqual(deployment?.spec?.strategy?.rollingUpdate, { maxSurge: 1, maxUnavailable: 0 })
    const container = onlyContainer(deployment)
    assert.equal(container.lifecycle, undefined)
    const ms = (variable: string) => Number(container.env?.find((entry) => entry.name === variable)?.value ?? 0)
    const graceMs = 1_000 * (deployment.spec.template.spec?.terminationGracePeriodSeconds ?? 30)
    assert.ok(ms('DRAIN_DEADLINE_MS') < graceMs)
    // docs/drain.md
    assert.ok(ms('DRAIN_NOTICE_MS') + ms('DRAIN_SPREAD_MS') + 7_000 <= ms('DRAIN_DEADLINE_MS'))
  }
})

test('each service is told only variables that it knows, and all that it requires', () => {
  for (const name of ['gateway', 'backend']) {
    const help = spawnSync(process.execPath, [`${name}/main.ts`, '--help'], { cwd: ROOT, encoding: 'utf8' }).stdout
    const known = new Map(
      [...help.matchAll(/^ +([A-Z_]+)(\[_FILE\])? +(\S+)/gm)].map(([, variable, , fallback]) => [variable, fallback]),
    )
    const container = onlyContainer(services.find(({ metadata }) => metadata?.name === name))
    const told = (container.env ?? []).map((entry) => entry.name.replace(/_FILE$/, ''))
    assert.deepEqual(
      told.filter((variable) => !known.has(variable)),
      [],
    )
    const required = [...known].flatMap(([variable, fallback]) => (fallback === 'required' ? [variable] : []))
    assert.ok(required.length > 0, help)
    assert.deepEqual(
      required.filter((variable) => !told.includes(variable ?? '')),
      [],
    )
  }
})

test('a Service has an address of each kind that the cluster has, and Redis listens at both', () => {
  for (const service of manifests.filter(({ kind }) => kind === 'Service') as Service[]) {
    assert.equal(service.spec?.ipFamilyPolicy, 'PreferDualStack', service.metadata?.name ?? '')
  }
  const { args = [] } = onlyContainer(services.find(({ metadata }) => metadata?.name === 'redis'))
  const bind = args.indexOf('--bind')
  assert.deepEqual(args.slice(bind + 1, args.indexOf('--protected-mode')), ['*', '-::*'])
})

/** Where a pod would connect to. */
interface Destination {
  readonly address?: string
  readonly pod?: string
  /** The labels of its namespace; without them, that of the manifests. */
  readonly namespace?: Readonly<Record<string, string>>
  readonly port: number | string
  readonly protocol?: 'UDP'
}

const KUBE_SYSTEM = { 'kubernetes.io/metadata.name': 'kube-system' }
const DNS = { port: 53, protocol: 'UDP' } as const

for (const [from, to, what, isAllowed] of [
  ['backend', { address: '10.20.30.40', port: 5432 }, 'a Postgres in a private network', true],
  ['backend', { address: 'fd12:3456::7', port: 5432 }, 'a Postgres in a private network of IPv6', true],
  ['backend', { pod: 'postgres', namespace: { 'livetally/postgres': 'true' }, port: 5432 }, 'a Postgres in the cluster', true],
  ['backend', { pod: 'postgres', namespace: { other: 'true' }, port: 5432 }, 'pods of any other namespace', false],
  ['backend', { address: '203.0.113.5', port: 5432 }, 'a Postgres in the world', false],
  ['backend', { address: '2001:db8::5', port: 5432 }, 'a Postgres in the world of IPv6', false],
  ['backend', { address: '169.254.169.254', port: 80 }, "the cloud's metadata", false],
  ['backend', { address: '10.20.30.40', port: 443 }, 'another port of a private network', false],
  ['backend', { pod: 'redis', port: 'redis' }, 'Redis', true],
  ['gateway', { address: '10.20.30.40', port: 5432 }, 'Postgres', false],
  ['gateway', { pod: 'backend', port: 'http' }, 'a backend', true],
  ['gateway', { pod: 'redis', port: 'redis' }, 'Redis', true],
  ['redis', { pod: 'backend', port: 'http' }, 'a backend', false],
  ['redis', { address: '203.0.113.5', port: 443 }, 'the world', false],
  ['gateway', { pod: 'kube-dns', namespace: KUBE_SYSTEM, ...DNS }, 'the DNS of the cluster', true],
  ['gateway', { address: '169.254.20.10', ...DNS }, 'a DNS cache of the node', true],
  ['backend', { address: '169.254.20.10', port: 53 }, 'a DNS cache of the node by TCP', true],
  ['backend', { address: '10.96.0.10', ...DNS }, "the address of the cluster's DNS, at which such a cache listens too", true],
  ['backend', { address: 'fd00:10:96::a', ...DNS }, 'the same of IPv6', true],
  ['backend', { address: '8.8.8.8', ...DNS }, 'a DNS server in the world', false],
  ['backend', { address: '169.254.169.253', ...DNS }, 'another link-local address', false],
] as const satisfies readonly (readonly [string, Destination, string, boolean])[]) {
  test(`${from} ${isAllowed ? 'reaches' : 'does not reach'} ${what}`, () => assert.equal(mayReach(from, to), isAllowed))
}

/** Whether the policies let a pod of that name connect there. */
function mayReach(from: string, to: Destination): boolean {
  const policies = (manifests.filter(({ kind }) => kind === 'NetworkPolicy') as NetworkPolicy[]).filter(
    ({ spec }) => spec?.policyTypes?.includes('Egress') === true && selects(spec.podSelector, { 'app.kubernetes.io/name': from }),
  )
  assert.ok(policies.length > 0, 'without a policy everything is allowed')
  return policies
    .flatMap(({ spec }) => spec?.egress ?? [])
    .some(
      ({ to: peers, ports }) =>
        (peers === undefined || peers.some((peer) => isPeer(peer, to))) &&
        (ports === undefined ||
          ports.some(({ port, protocol = 'TCP' }) => port === to.port && protocol === (to.protocol ?? 'TCP'))),
    )
}

function isPeer({ ipBlock, namespaceSelector, podSelector }: NetworkPolicyPeer, to: Destination): boolean {
  if (ipBlock !== undefined) return to.address !== undefined && isWithin(to.address, ipBlock.cidr)
  if (to.pod === undefined) return false
  const isNamespace =
    namespaceSelector === undefined ? to.namespace === undefined : selects(namespaceSelector, to.namespace ?? {})
  return isNamespace && selects(podSelector, { 'app.kubernetes.io/name': to.pod })
}

function isWithin(address: string, cidr: string): boolean {
  const [network = '', bits] = cidr.split('/')
  const family = (text: string) => (text.includes(':') ? 'ipv6' : 'ipv4')
  const list = new BlockList()
  list.addSubnet(network, Number(bits), family(network))
  return list.check(address, family(address))
}

function selects(selector: LabelSelector | undefined, labels: Readonly<Record<string, string>>): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector ?? {}
  return (
    Object.entries(matchLabels).every(([name, value]) => labels[name] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => operator === 'In' && values.includes(labels[key] ?? ''))
  )
}

function onlyContainer(deployment: Deployment | undefined): Container {
  const containers = deployment?.spec?.template.spec?.containers ?? []
  assert.equal(containers.length, 1)
  return containers[0] as Container
}

/** What the compiler says of the manifests, each declared to be of its kind; empty when nothing is wrong. */
async function typeErrors(documents: readonly Manifest[]): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'livetally-manifests-'))
  try {
    const declarations = documents.map((manifest, index) => {
      const group = manifest.apiVersion === 'v1' ? 'core/v1' : manifest.apiVersion.replace('.k8s.io', '')
      const type = `import('kubernetes-types/${group}.d.ts').${manifest.kind}`
      return `export const manifest${index}: ${type} = ${JSON.stringify(manifest)}`
    })
    await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'))
    await writeFile(join(directory, 'manifests.ts'), declarations.join('\n'))
    const args = ['--ignoreConfig', '--noEmit', '--strict', '--module', 'nodenext', '--types', '', 'manifests.ts']
    const compiler = join(ROOT, 'node_modules/typescript/bin/tsc')
    const { status, stdout, stderr } = spawnSync(process.execPath, [compiler, ...args], { cwd: directory, encoding: 'utf8' })
    return status === 0 ? '' : `${stdout}${stderr}`
  } finally {
    await rm(directory, { recursive: true })
  }
}
