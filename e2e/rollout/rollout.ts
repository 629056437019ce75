/** A rolling restart, for real: gateways behind HAProxy, an audience, a writer, and every gateway replaced in turn by SIGTERM. */
import { spawn } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'
import { connectRedisBus } from '../../shared/bus/redis-bus.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import { createVoter, startCluster } from '../support/cluster.ts'
import { freePort } from '../support/free-port.ts'
import { startHaproxy } from '../support/haproxy-service.ts'
import { gatherCrowd } from './gather-crowd.ts'
import type { HttpRecord, Replacement, RolloutRecord } from './record.ts'

export interface RolloutOptions {
  readonly gateways: number
  /** Clients with the SDK. */
  readonly clients: number
  /** Clients that know nothing of hand-overs. */
  readonly plain: number
  readonly noticeMs?: number
  readonly spreadMs?: number
  /** How many processes keep a core busy each while a gateway leaves. Default none. */
  readonly burners?: number
  /** TALLIES_PER_SECOND of the backend. */
  readonly rate?: number
  /** Called with a line whenever there is something to tell. */
  readonly onProgress?: (line: string) => void
}

const POLL = 'cats-or-dogs'
const WRITE_EVERY_MS = 20
/** So many that a voter's vote is answered long before the next one, 10 s later. */
const VOTERS = 500
const READ_EVERY_MS = 100
/** HAProxy asks `/ready` every second: a slot that has just become ready takes part after that. */
const CHECK_MS = 1_000
/** As a gateway has it when nobody says otherwise. */
const DEADLINE_MS = 25_000

type Voter = Awaited<ReturnType<typeof createVoter>>

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

export async function runRollout(options: RolloutOptions): Promise<RolloutRecord> {
  const { noticeMs = 2_500, spreadMs = 6_000, burners = 0, rate = 20, onProgress = () => {} } = options
  await using stack = new AsyncDisposableStack()
  const cluster = stack.use(
    await startCluster({
      gateways: 0,
      env: {
        DRAIN_NOTICE_MS: String(noticeMs),
        DRAIN_SPREAD_MS: String(spreadMs),
        DRAIN_DEADLINE_MS: String(DEADLINE_MS),
        TALLIES_PER_SECOND: String(rate),
      },
    }),
  )
  // every gateway has a successor, which listens before its predecessor leaves
  const ports = await Promise.all(Array.from({ length: 2 * options.gateways }, () => freePort()))
  const start = (slot: number) => cluster.startGateway({ PORT: String(ports[slot]) })
  for (let slot = 0; slot < options.gateways; slot += 1) await start(slot)
  await cluster.admin('POST', '/api/polls', {
    poll: POLL,
    question: 'Cats or dogs?',
    options: [
      { id: 'cats', label: 'Cats' },
      { id: 'dogs', label: 'Dogs' },
    ],
  })
  const haproxy = await startHaproxy(ports)
  stack.defer(() => haproxy.stop())
  await delay(2 * CHECK_MS)

  const published: { version: number; at: number }[] = []
  const bus = await connectRedisBus({ ...cluster.redis, log: silent, now: Date.now })
  stack.defer(() => bus.close())
  await bus.subscribe(POLL, ({ tally }) => published.push({ version: tally.version, at: Date.now() }))

  onProgress(`connecting ${options.clients} SDK clients and ${options.plain} plain sockets`)
  const crowd = stack.use(await gatherCrowd({ url: haproxy.url, poll: POLL, clients: options.clients, plain: options.plain }))

  const voters: Voter[] = []
  while (voters.length < VOTERS) voters.push(await createVoter(haproxy.url, POLL))
  const traffic = startTraffic(haproxy.url, voters)
  stack.defer(async () => void (await traffic.stop()))
  const startedAt = Date.now()
  const replacements: Replacement[] = []
  await delay(1_500)
  for (let slot = 0; slot < options.gateways; slot += 1) {
    const { child } = cluster.gateways[slot] ?? (await start(slot))
    await start(slot + options.gateways)
    await delay(2 * CHECK_MS)
    onProgress(`gateway ${slot + 1} of ${options.gateways}: SIGTERM`)
    const busy = Array.from({ length: burners }, startBurner)
    const signalledAt = Date.now()
    const exit = await child.stop('SIGTERM', { timeoutMs: 2 * DEADLINE_MS }).finally(() => {
      for (const burner of busy) burner.kill('SIGKILL')
    })
    replacements.push({ slot: `slot${slot}`, signalledAt, exitedAt: Date.now(), exitCode: exit.code })
    onProgress(`gateway ${slot + 1} of ${options.gateways}: left after ${Math.round(exit.tookMs)} ms with ${exit.code}`)
    const { left, closed, medianMs, p99Ms } = child.logs.find(({ msg }) => msg === 'the sockets have moved') ?? {}
    onProgress(
      `${String(left)} clients moved, within ${String(medianMs)} ms (median), ${String(p99Ms)} ms (99 %); ${String(closed)} were closed`,
    )
  }
  await delay(1_500)
  const { http, votesAcknowledged } = await traffic.stop()
  await delay(500) // the last tallies arrive
  const endedAt = Date.now()
  const clients = await crowd.report()
  return {
    startedAt,
    endedAt,
    deadlineMs: DEADLINE_MS,
    clients,
    samples: crowd.samples,
    replacements,
    published,
    http,
    votesAcknowledged,
  }
}

/** Starts a process that takes all of a core that it can get, for a minute at most. */
function startBurner() {
  return spawn(process.execPath, ['-e', 'for (const end = Date.now() + 60_000; Date.now() < end;);'], { stdio: 'ignore' })
}

/** Votes every 20 ms and reads every 100 ms through the balancer, and writes down what fails. */
function startTraffic(url: string, voters: readonly Voter[]) {
  const http: HttpRecord = { requests: 0, failures: [] }
  const pending = new Set<Promise<void>>()
  let votesAcknowledged = 0
  const ask = async (what: string, request: () => Promise<Response>) => {
    http.requests += 1
    try {
      const response = await request()
      await response.arrayBuffer()
      if (response.status !== 200) http.failures.push(`${what}: ${response.status}`)
      else if (what === 'vote') votesAcknowledged += 1
    } catch (error) {
      http.failures.push(`${what}: ${inspect(error)}`)
    }
  }
  const start = (what: string, request: () => Promise<Response>) => {
    const asked = ask(what, request).finally(() => pending.delete(asked))
    pending.add(asked)
  }
  let turn = 0
  const writing = setInterval(() => {
    // each voter votes in turn and for the other option: every vote is a new version, and nobody has two under way
    const voter = voters[turn % voters.length]
    const option = Math.floor(turn++ / voters.length) % 2 === 0 ? 'cats' : 'dogs'
    if (voter !== undefined) start('vote', () => voter.vote(url, option))
  }, WRITE_EVERY_MS)
  const reading = setInterval(() => start('read', () => fetch(`${url}/api/polls/${POLL}`)), READ_EVERY_MS)
  return {
    async stop() {
      clearInterval(writing)
      clearInterval(reading)
      await Promise.all(pending)
      return { http, votesAcknowledged }
    },
  }
}
