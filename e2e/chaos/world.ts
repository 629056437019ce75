/** Everything that a chaos run needs: Postgres, Redis, two backends and three gateways as processes, relays between them, a balancer before them. */
import { setTimeout as delay } from 'node:timers/promises'
import { startCluster, type Cluster, type Running } from '../support/cluster.ts'
import type { Child, Exit } from '../support/child.ts'
import { freePort } from '../support/free-port.ts'
import { createGuard } from '../support/guard.ts'
import { startPostgres, type PostgresService } from '../support/postgres-service.ts'
import { startRedis, type RedisService } from '../support/redis-service.ts'
import { startBalancer, type Balancer } from './balancer.ts'
import type { GatewayReplica, Reach, Replica } from './fault-plan.ts'
import type { Journal } from './journal.ts'
import type { Pace } from './pace.ts'
import { openRelay, type Relay } from './relay.ts'

/** A place for a process; what runs there is replaced. */
export interface Slot {
  readonly name: Exclude<Reach, 'all'>
  readonly kind: 'backend' | 'gateway'
  readonly redis: Relay
  readonly postgres: Relay
  /** Undefined while nothing runs there. */
  running: Running | undefined
  /** Where the version of the project is that is started there next. */
  nextRoot: string
}

/** One process from its start to its exit. */
export interface Life {
  readonly name: string
  readonly child: Child
  readonly startedAt: number
  endedAt?: number
}

export interface World {
  readonly url: string
  readonly postgres: PostgresService
  readonly redis: RedisService
  readonly slots: readonly Slot[]
  /** Every process that ever ran, in order. */
  readonly lives: readonly Life[]
  backend(replica: Replica): Slot
  gateway(replica: GatewayReplica): Slot
  /** The slots in reach of a fault. */
  within(reach: Reach): Slot[]
  start(slot: Slot): Promise<void>
  /** Kills what runs there. */
  kill(slot: Slot): Promise<void>
  /** Asks what runs there to leave by SIGTERM; anything but exit code 0 is a violation. */
  leave(slot: Slot): Promise<void>
  /** What `/ready` of every process says, for evidence. */
  describe(): Promise<Record<string, unknown>>
  /** Starts a successor, which takes part before its predecessor is asked to leave. */
  replaceGateway(slot: Slot): Promise<void>
  stop(): Promise<void>
}

/** Everybody comes from one address, hostile clients too. */
const UNLIMITED = {
  MAX_SOCKETS_PER_ADDRESS: '5000',
  HANDSHAKES_PER_SECOND: '10000',
  VOTES_PER_ADDRESS: '0',
  VOTERS_PER_ADDRESS: '0',
}
/** The balancer asks `/ready` several times a second: within this it has noticed. */
const NOTICE_MS = 1_500
const ENV = {
  ...UNLIMITED,
  DRAIN_NOTICE_MS: String(NOTICE_MS),
  DRAIN_SPREAD_MS: '2500',
  DRAIN_DEADLINE_MS: '12000',
  NODE_OPTIONS: `--expose-gc --import=${new URL('heap-probe.ts', import.meta.url).href}`,
}
/** Twice what the services need, and few enough to take them all in an instant. */
const MAX_CONNECTIONS = '80'
/** A process leaves within this, whatever else is down; stretched by the slowness of the machine. */
const LEAVE_MS = 8_000
/** A process that takes longer to leave is killed. */
const LEAVE_TIMEOUT_MS = 30_000

/**
 * With a previous version, each place runs that one and the present one in turn, and begins with the previous one.
 *
 * The signal says that the run was interrupted: whoever did that may have ended the processes as well.
 */
export async function startWorld(journal: Journal, pace: Pace, signal: AbortSignal, previousRoot?: string): Promise<World> {
  await using stack = new AsyncDisposableStack()
  const postgres = stack.use(
    await startPostgres({ settings: { track_commit_timestamp: 'on', max_connections: MAX_CONNECTIONS } }),
  )
  const redis = stack.use(await startRedis())
  const cluster = stack.use(
    await startCluster({ backends: 0, gateways: 0, servers: { databaseUrl: postgres.url, redisUrl: redis.url }, env: ENV }),
  )
  const balancer = await startBalancer()
  stack.defer(() => balancer.stop())
  const relay = async (port: number) => {
    const opened = await openRelay(port)
    stack.defer(() => opened.stop())
    return opened
  }
  const slot = async (kind: Slot['kind'], replica: GatewayReplica): Promise<Slot> => ({
    name: `${kind}-${replica}` as Slot['name'],
    kind,
    redis: await relay(redis.port),
    postgres: await relay(postgres.port),
    running: undefined,
    nextRoot: previousRoot ?? '',
  })
  const backends = [await slot('backend', 0), await slot('backend', 1)] as const
  const gateways = [await slot('gateway', 0), await slot('gateway', 1), await slot('gateway', 2)] as const
  const ports = new Map([
    [backends[0], await freePort()],
    [backends[1], await freePort()],
  ])
  const processes = createProcesses({ cluster, balancer, journal, pace, signal, ports, postgresUrl: postgres.url, previousRoot })
  for (const each of [...backends, ...gateways]) await processes.start(each)

  const slots = [...backends, ...gateways]
  const owned = stack.move()
  return {
    url: balancer.url,
    postgres,
    redis,
    slots,
    lives: processes.lives,
    backend: (replica) => backends[replica],
    gateway: (replica) => gateways[replica],
    within: (reach) => slots.filter(({ name }) => reach === 'all' || name === reach),
    start: processes.start,
    kill: processes.kill,
    leave: processes.leave,
    replaceGateway: processes.replaceGateway,
    async describe() {
      const answers = slots.map(async ({ name, running }) => {
        const answer = await fetch(`${running?.url}/ready`, { signal: AbortSignal.timeout(2_000) }).catch(String)
        return [name, typeof answer === 'string' ? answer : await answer.json().catch(String)] as const
      })
      return Object.fromEntries(await Promise.all(answers)) as Record<string, unknown>
    },
    async stop() {
      processes.release()
      await owned.disposeAsync()
    },
  }
}

interface ProcessesOptions {
  readonly cluster: Cluster
  readonly balancer: Balancer
  readonly journal: Journal
  readonly pace: Pace
  readonly signal: AbortSignal
  /** Where the backends listen, whoever runs there. */
  readonly ports: ReadonlyMap<Slot, number>
  readonly postgresUrl: string
  readonly previousRoot: string | undefined
}

function createProcesses({
  cluster,
  balancer,
  journal,
  pace,
  signal: interrupted,
  ports,
  postgresUrl,
  previousRoot,
}: ProcessesOptions) {
  const lives: Life[] = []
  const guards = new Map<Child, ReturnType<typeof createGuard>>()
  const expected = new Set<Child>()
  const backendUrls = [...ports.values()].map((port) => `http://127.0.0.1:${port}`)

  // a gateway stays with a backend until it fails: the others begin with the other one, so that both have work
  const envOf = (slot: Slot): Record<string, string> => {
    const databaseUrl = new URL(postgresUrl)
    databaseUrl.port = String(slot.postgres.port)
    const redisUrl = `redis://127.0.0.1:${slot.redis.port}`
    return slot.kind === 'backend'
      ? { PORT: String(ports.get(slot)), DATABASE_URL: databaseUrl.href, REDIS_URL: redisUrl }
      : { BACKEND_URL: (slot.name === 'gateway-0' ? backendUrls : backendUrls.toReversed()).join(','), REDIS_URL: redisUrl }
  }

  /** On a machine that is very busy a start may be given up; the second one must work. */
  const launch = async (slot: Slot): Promise<Running> => {
    const env = envOf(slot)
    const once = () =>
      slot.kind === 'backend' ? cluster.startBackend(env, slot.nextRoot) : cluster.startGateway(env, slot.nextRoot)
    try {
      return await once()
    } catch (error) {
      journal.say(`${slot.name} is started again: ${String(error).split('\n')[0]}`)
      journal.write({ started: slot.name, failed: String(error) })
      return await once()
    }
  }

  const begin = async (slot: Slot): Promise<Running> => {
    const startedAt = Date.now()
    const running = await launch(slot)
    const { child } = running
    const version = previousRoot === undefined ? '' : `, ${slot.nextRoot === '' ? 'this' : 'previous'} version`
    const life: Life = { name: `${slot.name} (${child.pid}${version})`, child, startedAt }
    if (previousRoot !== undefined) slot.nextRoot = slot.nextRoot === '' ? previousRoot : ''
    lives.push(life)
    // if this process is killed, the guard ends the child
    const guard = createGuard(['true'])
    guard.watch(child.pid)
    guards.set(child, guard)
    const ended = ({ code, signal }: Exit) => {
      life.endedAt = Date.now()
      guard.release()
      guards.delete(child)
      if (!expected.has(child) && !interrupted.aborted)
        journal.violate('a process ended by itself', `${life.name}: ${code ?? signal}`)
    }
    void child.exited.then(ended)
    if (slot.kind === 'gateway') balancer.add(running.url)
    return running
  }

  const end = async (running: Running, name: string, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> => {
    expected.add(running.child)
    let exit: Exit
    try {
      exit = await running.child.stop(signal, { timeoutMs: LEAVE_TIMEOUT_MS })
    } catch (error) {
      journal.violate('a process did not leave', `${name}: ${String(error).split('\n')[0]}`)
      return
    } finally {
      balancer.remove(running.url)
    }
    if (signal === 'SIGKILL') return
    journal.current?.exits.push({ name, code: exit.code, tookMs: Math.round(exit.tookMs) })
    journal.write({ left: name, ...exit })
    if (exit.tookMs > LEAVE_MS * pace.slowness)
      journal.violate('a process took long to leave', `${name}: ${Math.round(exit.tookMs)} ms`)
    if (exit.code !== 0) {
      const trouble = running.child.logs.filter(({ level }) => level === 'error' || Number(level) >= 50).slice(-2)
      const how = exit.code ?? exit.signal
      journal.violate(
        'a process left uncleanly',
        `${name}: ${how} after ${Math.round(exit.tookMs)} ms; ${JSON.stringify(trouble)}`,
      )
    }
  }

  return {
    lives,
    async start(slot: Slot) {
      slot.running = await begin(slot)
    },
    async kill(slot: Slot) {
      const { running } = slot
      slot.running = undefined
      if (running !== undefined) await end(running, slot.name, 'SIGKILL')
    },
    async leave(slot: Slot) {
      const { running } = slot
      slot.running = undefined
      if (running !== undefined) await end(running, slot.name, 'SIGTERM')
    },
    async replaceGateway(slot: Slot) {
      const before = slot.running
      slot.running = await begin(slot)
      await delay(NOTICE_MS)
      if (before !== undefined) await end(before, slot.name, 'SIGTERM')
    },
    /** From now on no exit is a violation. */
    release() {
      for (const { child } of lives) {
        expected.add(child)
        child.send('SIGCONT')
      }
    },
  }
}
