/** One world: servers, services, screens and voters, as they are when everything works. `faults.ts` changes that. */
import { EventEmitter } from 'node:events'
import { runBackend } from '../../backend/service.ts'
import { type GatewayHost, runGateway } from '../../gateway/service.ts'
import type { Probes } from '../../shared/lifecycle/probes.ts'
import { holdSignals } from '../../shared/lifecycle/signals.ts'
import { Balancer } from './balancer.ts'
import type { Screen, Service, Voter } from './inhabitants.ts'
import { Judge } from './judge.ts'
import { Network } from './network.ts'
import { PostgresServer } from './postgres.ts'
import { RedisServer } from './redis.ts'
import { createMachine, here, kill, type Machine, on, plan, resume, time } from './scheduler.ts'
import { enter, type Surroundings } from './surroundings.ts'
import { Sometimes } from './sometimes.ts'

/** Times of a shutdown, short for the sake of speed; the same proportions as in production. */
const DRAIN = { DRAIN_NOTICE_MS: '600', DRAIN_SPREAD_MS: '2000', DRAIN_DEADLINE_MS: '12000' }
const COMMON = { REDIS_URL: 'redis://redis', LOG_LEVEL: 'debug', ...DRAIN }
const ENVIRONMENT = {
  gateway: { ...COMMON, BACKEND_URL: 'http://backend-1,http://backend-2', SLOW_CLIENT_MS: '1500' },
  backend: { ...COMMON, DATABASE_URL: 'postgres://postgres/x', ADMIN_TOKEN: 'x'.repeat(32), COOKIE_SECRET: 'y'.repeat(32) },
}

export class World implements Surroundings {
  readonly network = new Network(time)
  readonly sometimes = new Sometimes()
  readonly judge: Judge = new Judge(this)
  readonly balancer = new Balancer(() => this.running('gateway').map(({ machine }) => machine.name))
  readonly chooseGateway = () => this.balancer.choose()
  readonly postgres: PostgresServer
  readonly redis: RedisServer
  readonly services: Service[] = []
  readonly screens: Screen[] = []
  readonly slugs: readonly string[]
  /** Where what happens to the world is planned. */
  readonly outside: Machine = here()
  readonly voters: Voter[] = []
  /** By backend, how many votes wait there. */
  readonly waitingVotes = new Map<string, () => number>()
  readonly probes = new Map<string, Probes>()
  #gateways = 0
  #planned = 0

  constructor(slugs: readonly string[]) {
    enter(this)
    this.slugs = slugs
    this.postgres = new PostgresServer(createMachine('postgres'))
    this.redis = new RedisServer(createMachine('redis'))
  }

  running(kind: Service['kind']): Service[] {
    return this.services.filter((service) => service.kind === kind && service.machine.state !== 'dead')
  }

  /** Does something to the world later. */
  later(ms: number, run: () => void): void {
    this.#planned += 1
    plan(this.outside, ms, () => {
      this.#planned -= 1
      run()
    })
  }

  /** Whether something is still to be done to the world. */
  get isHarmed(): boolean {
    return this.#planned > 0
  }

  /** Whether somebody leaves, or something is still to be done to the world. */
  isReplacing(): boolean {
    const isLeaving = this.services.some(({ leavingAt, machine }) => leavingAt !== undefined && machine.state !== 'dead')
    return isLeaving || this.isHarmed || this.running('backend').length < 2
  }

  /** A service that does not say that all is well; undefined when all do. */
  unwell(): string | undefined {
    for (const { machine } of this.services) {
      if (machine.state === 'dead') continue
      const answer = on(machine, () => this.probes.get(machine.name)?.ready())
      if (answer?.body['status'] !== 'ok') return `${machine.name} says ${JSON.stringify(answer)}`
    }
    return undefined
  }

  startGateway(): Service {
    this.#gateways += 1
    return this.#start('gateway', `gateway-${this.#gateways}`)
  }
  /** A backend has a name that its successor takes over. */
  startBackend(name: string): Service {
    return this.#start('backend', name)
  }

  #start(kind: Service['kind'], name: string): Service {
    const machine = createMachine(name)
    const host = Object.assign(new EventEmitter(), {
      argv: [],
      env: ENVIRONMENT[kind],
      pid: this.services.length,
      stdout: { isTTY: false, write: () => {} },
      stderr: { write: (text: string) => this.judge.fail('no fault is left uncaught', `${name} says ${text}`) },
      exit(code: number): never {
        throw new Error(`${name} exits with ${code}`)
      },
    } satisfies Partial<GatewayHost>)
    const service: Service = { kind, machine, host, leavingAt: undefined, exitCode: undefined, isExcused: false }
    this.services.push(service)
    on(machine, () => {
      // as each main.ts does
      holdSignals(host)
      const run = kind === 'gateway' ? runGateway : runBackend
      void run(host as never).then((code) => this.#ended(service, code))
    })
    return service
  }

  #ended(service: Service, code: number): void {
    service.exitCode = code
    this.judge.left(service)
    this.#remove(service.machine, false)
  }

  #remove(machine: Machine, isSilent: boolean): void {
    kill(machine)
    this.network.forget(machine, isSilent)
  }

  /** SIGTERM. */
  leave(service: Service): void {
    if (service.leavingAt !== undefined || service.machine.state === 'dead') return
    resume(service.machine)
    service.leavingAt = time()
    const { sometimes, redis, postgres, network } = this
    const { name } = service.machine
    const isAway = (server: Machine) =>
      server.state !== 'runs' || network.isBlocked(name, server.name) || network.isBlocked(server.name, name)
    if ([redis.machine, postgres.machine].some(isAway)) sometimes.note('a process leaves while Redis or Postgres is away')
    if ((this.waitingVotes.get(name)?.() ?? 0) > 0) sometimes.note('a vote waits for its batch while its backend leaves')
    if (
      service.kind === 'gateway' &&
      this.screens.some(({ client }) => ['reconnecting', 'stale'].includes(client.status.state))
    ) {
      sometimes.note('a gateway drains while a client is reconnecting')
    }
    plan(service.machine, 0, () => service.host.emit('SIGTERM', 'SIGTERM'))
  }

  /** SIGKILL, or, silently, the loss of the machine: nobody is told. */
  crash(service: Service, isSilent: boolean): void {
    this.#remove(service.machine, isSilent)
  }
  crashServer(machine: Machine): void {
    this.#remove(machine, false)
  }
}
