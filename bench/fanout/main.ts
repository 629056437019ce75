/** `npm run bench:fanout`: this gateway beside `ws`, Socket.IO and a C server, one at a time. bench/README.md says how to read it. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { Redis } from 'ioredis'
import { startRedis } from '../../e2e/support/redis-service.ts'
import type { LoadProgram } from './audience.ts'
import { drawResults } from './chart.ts'
import { compile } from './compile.ts'
import { CONTENDERS } from './contenders.ts'
import type { Round } from './figures.ts'
import { createReceiveCore, describeMachine, divideCores, stolenTicks, type ReceiveCore } from './machine.ts'
import { writeMarkdown } from './markdown.ts'
import { concluded } from './results.ts'
import { TALLY_BYTES } from './tally.ts'
import { slowReaders, storm } from './trials.ts'
import { visit, type VisitOptions } from './visit.ts'

const USAGE = `npm run bench:fanout -- [options]: what a delivered tally, a connection and a handshake cost, here and elsewhere

  --rounds N     every contender is measured once in each   (5)
  --sockets N    sockets that are written to                (10000)
  --rx-core      also measure with the receiving half of loopback traffic on the load's core; changes rps_cpus of lo and
                 net.core.netdev_max_backlog for those seconds, needs root
  --quick        small numbers, to see that it works        (one round, 200 sockets)
  --compiler C   the C compiler                             (cc)
  --out DIR      where fanout.json, .md and .svg go         (bench/results)`

const { values } = parseArgs({
  options: {
    rounds: { type: 'string' },
    sockets: { type: 'string' },
    'rx-core': { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    compiler: { type: 'string', default: 'cc' },
    out: { type: 'string', default: fileURLToPath(new URL('../results', import.meta.url)) },
    help: { type: 'boolean', default: false },
  },
})
if (values.help) {
  process.stdout.write(`${USAGE}\n`)
  process.exit(0)
}
const number = (name: string, text: string | undefined, fallback: number, most: number) => {
  if (text === undefined) return fallback
  if (/^\d+$/.test(text) && Number(text) >= 1 && Number(text) <= most) return Number(text)
  process.stderr.write(`--${name} must be a whole number from 1 to ${most}, not ${JSON.stringify(text)}\n`)
  return process.exit(2)
}
const { quick } = values
const machine = describeMachine()
/** A process has a few descriptors beside its sockets. */
const mostSockets = Math.min(19_900, machine.descriptors - 100)
const size = quick
  ? {
      rounds: 1,
      sockets: 200,
      burst: 300,
      messages: 4_000,
      settleMs: 200,
      crowd: 300,
      stormS: 1,
      readers: 20,
      slowS: 3,
      warmS: 2,
    }
  : {
      rounds: 5,
      sockets: 10_000,
      burst: 15_000,
      messages: 200_000,
      settleMs: 2_000,
      crowd: 19_000,
      stormS: 8,
      readers: 100,
      slowS: 60,
      warmS: 30,
    }
const rounds = number('rounds', values.rounds, size.rounds, 100)
const sockets = number('sockets', values.sockets, Math.min(size.sockets, mostSockets), mostSockets)
const burst = Math.min(size.burst, mostSockets)

const say = (line: string) => process.stderr.write(`${line}\n`)
const startedAt = performance.now()
const ticksBefore = stolenTicks()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(1))

await using stack = new AsyncDisposableStack()
const cores = divideCores()
if (cores.why !== undefined) say(`not pinned: ${cores.why}`)
const compiled = await compile(values.compiler)
stack.defer(async () => await compiled?.remove())
if (compiled === undefined) say('no C compiler: the load generator runs on Node, and the C server is left out')
const load: LoadProgram =
  compiled === undefined
    ? { kind: 'Node', command: process.execPath, args: [fileURLToPath(new URL('load.ts', import.meta.url))] }
    : { kind: 'C', command: compiled.load, args: [] }

const given = process.env['TEST_REDIS_URL'] ?? process.env['REDIS_URL']
const redis = given === undefined ? await startRedis() : { url: given, stop: () => Promise.resolve() }
stack.defer(() => redis.stop())
const prefix = `livetally-fanout-${randomBytes(6).toString('hex')}`
stack.defer(() => forget(redis.url, prefix))

const { receiveCore, why: whyNotReceived } = prepareReceiveCore()
stack.defer(() => receiveCore?.restore())
let namespaces = 0
const options = (): VisitOptions => ({
  load,
  cores,
  receiveCore,
  sockets,
  burst,
  messages: Math.max(size.messages, 3 * sockets),
  settleMs: size.settleMs,
  repeats: quick ? 0 : 2,
  redisUrl: redis.url,
  namespace: `${prefix}-${++namespaces}`,
  epollServer: compiled?.epollServer,
})

const measured: Round[] = []
for (let index = 0; index < rounds; index++) {
  const round: Round = {}
  for (const contender of turned(CONTENDERS, index)) {
    if (contender === 'epoll' && compiled === undefined) continue
    const seen = await visit(contender, options())
    round[contender] = seen
    const { cpuUs, userUs } = seen.fanout
    say(`round ${index + 1} of ${rounds}: ${contender} ${cpuUs.toFixed(2)} µs per message, ${userUs.toFixed(2)} in user mode`)
  }
  measured.push(round)
}
say(`probes during a storm to ${Math.min(size.crowd, mostSockets)} sockets`)
const stormed = await storm(options(), { sockets: Math.min(size.crowd, mostSockets), seconds: size.stormS })
say(`${size.readers} readers that do not read, ${size.slowS} s`)
const slow = await slowReaders(options(), { readers: size.readers, seconds: size.slowS, warmSeconds: size.warmS })

const ticks = stolenTicks()
const results = concluded({
  at: new Date().toISOString(),
  tookS: (performance.now() - startedAt) / 1_000,
  machine: { ...machine, stolen: (ticks.stolen - ticksBefore.stolen) / (ticks.all - ticksBefore.all) },
  settings: {
    rounds,
    sockets,
    burst,
    tallyBytes: TALLY_BYTES,
    pinned: cores.why === undefined,
    ...(cores.why === undefined ? {} : { whyNotPinned: cores.why }),
    received: receiveCore !== undefined,
    ...(whyNotReceived === undefined ? {} : { whyNotReceived }),
    load: load.kind,
    ...(compiled === undefined ? {} : { compiler: compiled.compiler }),
    quick,
  },
  rounds: measured,
  storm: stormed,
  slowReaders: slow,
})
mkdirSync(values.out, { recursive: true })
for (const [extension, text] of [
  ['json', `${JSON.stringify(results, undefined, 2)}\n`],
  ['md', writeMarkdown(results)],
  ['svg', drawResults(results)],
] as const) {
  writeFileSync(join(values.out, `fanout.${extension}`), text)
}
for (const { figure, aim, measured: was, met } of results.aims) {
  say(`${met === undefined ? '–     ' : met ? 'met   ' : 'MISSED'} ${figure}: ${was} (aim ${aim})`)
}
say(`written to ${join(values.out, 'fanout.*')}`)

/** In each round somebody else begins, so that nobody always comes after the same. */
function turned<T>(items: readonly T[], by: number): T[] {
  const first = by % items.length
  return [...items.slice(first), ...items.slice(0, first)]
}

function prepareReceiveCore(): { receiveCore: ReceiveCore | undefined; why?: string } {
  if (!values['rx-core']) return { receiveCore: undefined, why: 'it was not asked for (--rx-core)' }
  if (cores.load === undefined) return { receiveCore: undefined, why: 'server and load share the cores' }
  const found = createReceiveCore(cores.load)
  try {
    found.move()
    found.restore()
    return { receiveCore: found }
  } catch {
    say('--rx-core is not permitted here')
    return { receiveCore: undefined, why: 'it is not permitted here' }
  }
}

async function forget(url: string, namespace: string): Promise<void> {
  const client = new Redis(url, { lazyConnect: true, maxRetriesPerRequest: 1 })
  try {
    await client.connect()
    const keys: string[] = []
    for await (const page of client.scanStream({ match: `${namespace}*` }) as AsyncIterable<string[]>) keys.push(...page)
    if (keys.length > 0) await client.del(...keys)
  } finally {
    client.disconnect()
  }
}
