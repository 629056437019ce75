/** What can go wrong in a world. Each kind does it to a target and returns what ends it. */
import type { Screen, Service } from './inhabitants.ts'
import { createMachine, on, plan, resume, stop, time } from './scheduler.ts'
import { openScreen } from './screen.ts'
import type { Tables, Write } from './tables.ts'
import type { World } from './world.ts'

type Undo = () => void
/** `target` chooses among whoever it may be done to. */
type Inflict = (world: World, target: number, forMs: number) => Undo | void

/** A screen says by itself that its feed is dead after 35 s, and needs some more to find another. */
const UNTIL_SILENCE_MS = 60_000

const one = <T>(items: readonly T[], target: number): T | undefined => items[target % Math.max(1, items.length)]
const remaining = (world: World, kind: Service['kind']) => world.running(kind).filter(({ leavingAt }) => leavingAt === undefined)

function excuseScreen(screen: Screen, forMs: number): void {
  screen.excusedUntil = Math.max(screen.excusedUntil, time() + forMs)
}

/** Excuses the screens that have a socket to the gateway. */
function excuse(world: World, gateway: string, forMs: number): void {
  for (const screen of world.screens) {
    if ([...screen.sockets].some((socket) => socket.gateway === gateway)) excuseScreen(screen, forMs + UNTIL_SILENCE_MS)
  }
}

const namesOf = (world: World) =>
  world.services.filter(({ machine }) => machine.state !== 'dead').map(({ machine }) => machine.name)

/** Nothing passes between them, or in one direction alone, as `target` says. */
function partition({ network }: World, ones: readonly (string | undefined)[], other: string, target: number): Undo {
  const names = ones.filter((name) => name !== undefined)
  const ways = names
    .flatMap((name) => [[name, other] as const, [other, name] as const])
    .filter((_, way) => target % 3 !== way % 2)
  for (const [from, to] of ways) network.block(from, to)
  return () => {
    for (const [from, to] of ways) network.heal(from, to)
  }
}

/** One of the server's connections dies, and nobody tells anybody. */
function loseConnection({ network }: World, server: string, target: number): void {
  const end = one(
    [...network.ends].filter((each) => each.owner.name === server),
    target,
  )
  if (end !== undefined) network.loseSilently(end)
}

function stopService(world: World, service: Service | undefined): Undo | undefined {
  if (service === undefined) return undefined
  stop(service.machine)
  world.judge.forgetPending()
  return () => {
    if (service.machine.state === 'stopped')
      world.sometimes.note('a process that was stopped goes on with what it had read before')
    resume(service.machine)
    world.judge.forgetPending()
  }
}

function replaceBackend(world: World, service: Service | undefined): void {
  if (service === undefined) return
  const { name } = service.machine
  world.leave(service)
  const succeed = () => {
    if (service.machine.state === 'dead') world.startBackend(name)
    else world.later(50, succeed)
  }
  succeed()
}

function crash(world: World, service: Service | undefined, isSilent: boolean): Undo | undefined {
  if (service === undefined) return undefined
  if (service.kind === 'gateway' && isSilent) excuse(world, service.machine.name, 0)
  world.crash(service, isSilent)
  world.judge.forgetPending()
  return () => void (service.kind === 'gateway' ? world.startGateway() : world.startBackend(service.machine.name))
}

function restartRedis(world: World, keys: ReturnType<World['redis']['saved']>, name: string): Undo | undefined {
  if (world.redis.machine.state === 'dead') return undefined
  world.crashServer(world.redis.machine)
  return () => {
    world.sometimes.note(name)
    world.redis.replace(createMachine('redis'), keys)
  }
}

function restartPostgres(world: World, tables: Tables, identity?: string): Undo | undefined {
  const { postgres } = world
  if (postgres.machine.state === 'dead') return undefined
  world.crashServer(postgres.machine)
  return () => {
    postgres.refusesUntil = time() + 200
    postgres.replace(createMachine('postgres'), tables, identity)
    world.judge.committed()
  }
}

/** What it had at the beginning is then a little older than what it has. */
const soon = (forMs: number) => Math.min(forMs / 3, 500)

/** The server dies, and what it had some time before comes back. */
function loseCommits(world: World, forMs: number, identity?: string): Undo {
  const tables = world.postgres.tables.copy()
  const history = world.postgres.tables
  const from = time()
  let undo: Undo | undefined
  world.later(soon(forMs), () => {
    // meanwhile it may have been replaced by another one
    if (world.postgres.tables === history) undo = restartPostgres(world, tables, identity)
  })
  return () => {
    if (undo !== undefined) world.judge.losses.push({ from, to: time() })
    undo?.()
  }
}

const until = (forMs: number) => time() + forMs

export const FAULTS = {
  'redis stalls': ({ redis: { machine } }) => {
    stop(machine)
    return () => resume(machine)
  },
  'redis dies': (world) => restartRedis(world, new Map(), 'Redis comes back empty'),
  'redis comes back older': (world, _, forMs) => {
    const keys = world.redis.saved()
    let undo: Undo | undefined
    world.later(soon(forMs), () => (undo = restartRedis(world, keys, 'Redis comes back older than what screens show')))
    return () => undo?.()
  },
  'redis refuses writes': ({ redis }, _, forMs) => void (redis.refusesUntil = until(forMs)),
  'redis loses an answer': ({ redis }) => {
    redis.swallows += 1
    return () => void (redis.swallows = 0)
  },
  'redis cuts connections': ({ redis }) => redis.cutAll(),
  'redis is slow': ({ network }, target) => {
    network.slow('redis', [100, 700, 3_000][target % 3] ?? 100)
    return () => network.slow('redis', 0)
  },
  'a connection to redis dies without a word': (world, target) => loseConnection(world, 'redis', target),
  'a connection to postgres dies without a word': (world, target) => loseConnection(world, 'postgres', target),
  'gateway loses redis': (world, target) =>
    partition(world, [one(world.running('gateway'), target)?.machine.name], 'redis', target >> 3),
  'backend loses redis': (world, target) => partition(world, [`backend-${1 + (target % 2)}`], 'redis', target >> 3),
  'all lose redis': (world, target) => partition(world, namesOf(world), 'redis', target),
  'postgres stalls': ({ postgres: { machine } }) => {
    stop(machine)
    return () => resume(machine)
  },
  'postgres restarts': (world) => restartPostgres(world, world.postgres.tables),
  'postgres fails over and loses commits': (world, target, forMs) => loseCommits(world, forMs, `after ${target}`),
  'postgres loses commits': (world, _, forMs) => loseCommits(world, forMs),
  'postgres refuses sessions': (world, _, forMs) => {
    world.postgres.refusesUntil = until(forMs)
    for (const name of namesOf(world)) world.network.cut(name, 'postgres')
  },
  'postgres is slow': ({ postgres }, target) => {
    postgres.slowMs = [60, 400, 3_200][target % 3] ?? 60
    return () => void (postgres.slowMs = 3)
  },
  'postgres does not confirm commits': ({ postgres }, _, forMs) => void (postgres.forgetsUntil = until(forMs)),
  'postgres cuts connections': (world) => {
    for (const name of namesOf(world)) world.network.cut(name, 'postgres')
  },
  'backend loses postgres': (world, target) => partition(world, [`backend-${1 + (target % 2)}`], 'postgres', target >> 3),
  'gateway loses backend': (world, target) =>
    partition(world, [one(world.running('gateway'), target)?.machine.name], `backend-${1 + ((target >> 3) % 2)}`, target >> 4),
  'gateway stops': (world, target, forMs) => {
    const gateway = one(world.running('gateway'), target)
    if (gateway !== undefined) excuse(world, gateway.machine.name, forMs)
    return stopService(world, gateway)
  },
  'backend stops': (world, target) => stopService(world, one(world.running('backend'), target)),
  'gateway dies': (world, target) => crash(world, one(remaining(world, 'gateway'), target), false),
  'gateway vanishes': (world, target) => crash(world, one(remaining(world, 'gateway'), target), true),
  'backend dies': (world, target) => crash(world, one(remaining(world, 'backend'), target), false),
  'gateway is replaced': (world, target) => {
    const gateway = one(remaining(world, 'gateway'), target)
    if (gateway === undefined) return
    world.startGateway()
    // a rollout goes on when the new one is ready
    world.later(700, () => world.leave(gateway))
  },
  'all gateways are replaced': (world, target) => {
    if (world.running('gateway').length > 3) return
    for (const [place, gateway] of remaining(world, 'gateway').entries()) {
      world.later(place * (target % 2_000), () => {
        world.startGateway()
        world.later(700, () => world.leave(gateway))
      })
    }
  },
  'backend is replaced': (world, target) => replaceBackend(world, one(remaining(world, 'backend'), target)),
  'balancer stalls': (world, _, forMs) => {
    const { machine } = world.balancer
    stop(machine)
    // long enough for a gateway to leave meanwhile
    world.later(forMs + 3_000, () => resume(machine))
  },
  'screen loses its gateway': (world, target, forMs) => {
    const screen = one(world.screens, target)
    if (screen === undefined) return
    const gateways = [...screen.sockets].map(({ gateway }) => gateway)
    excuseScreen(screen, forMs + UNTIL_SILENCE_MS)
    return partition(world, gateways, screen.machine.name, target >> 3)
  },
  "screen's connection dies without a word": (world, target) => {
    const screen = one(world.screens, target)
    if (screen === undefined) return
    excuseScreen(screen, UNTIL_SILENCE_MS)
    for (const end of world.network.ends) if (end.owner === screen.machine) world.network.loseSilently(end)
  },
  "screen's connections are cut": (world, target) => {
    const screen = one(world.screens, target)
    screen?.sockets.forEach(({ gateway }) => world.network.cut(screen.machine.name, gateway))
  },
  'screen freezes': (world, target, forMs) => {
    const screen = one(world.screens, target)
    if (screen === undefined) return
    const { machine } = screen
    stop(machine)
    // long enough for its bytes to wait
    excuseScreen(screen, forMs + 5_000)
    world.later(forMs + 3_000, () => resume(machine))
  },
  'screen wakes': (world, target) => {
    const screen = one(world.screens, target)
    if (screen) plan(screen.machine, 0, () => screen.wake(target % 2 === 0))
  },
  'screen is far away': (world, target) => {
    const screen = one(world.screens, target)
    if (screen === undefined) return
    world.network.slow(screen.machine.name, 100 + (target % 900))
    return () => world.network.slow(screen.machine.name, 0)
  },
  'screen comes': (world, target) => {
    world.screens.push(openScreen(`late-${world.screens.length + 1}`, world.slugs.slice(target % world.slugs.length)))
  },
  'a wall clock steps': (world, target) => {
    const machine = one(
      [...world.services, ...world.screens].map((each) => each.machine),
      target,
    )
    if (machine === undefined) return
    const byMs = ((target % 41) - 20) * 1_000
    machine.dateAheadMs += byMs
    if (byMs < 0) world.sometimes.note('a wall clock steps back')
  },
  'poll is edited': (world, target) => {
    const change =
      target % 3 === 0 ? { question: `${target}?` } : { state: target % 3 === 1 ? ('closed' as const) : ('open' as const) }
    organise(world, world.postgres.tables.edit(one(world.slugs, target) ?? '', change))
  },
  'poll is reset': (world, target) => {
    const slug = one(world.slugs, target) ?? ''
    const reset = () =>
      organise(world, (xid) => {
        world.postgres.tables.reset(slug)(xid)
        world.judge.emptied.set(slug, time())
      })
    if (target % 2 === 0) reset()
    else whenSomebodyMoves(world, reset)
  },
  'poll is removed': (world, target) => {
    const slug = one(world.slugs, target) ?? ''
    organise(world, (xid) => {
      world.postgres.tables.remove(slug)(xid)
      world.judge.emptied.set(slug, time())
    })
    if (target % 4 === 0) return
    return () =>
      organise(world, (xid) => {
        world.postgres.tables.create(slug)(xid)
        world.sometimes.note('a poll is made anew under the name of a removed one')
      })
  },
} satisfies Record<string, Inflict>

export type FaultKind = keyof typeof FAULTS

/** Does it as soon as a client moves, if one does within three seconds. */
function whenSomebodyMoves(world: World, run: () => void, tries = 150): void {
  if (world.screens.some(({ client }) => client.status.state === 'moving')) run()
  else if (tries > 0) world.later(20, () => whenSomebodyMoves(world, run, tries - 1))
}

/** Runs an organiser's transaction, if the database is there and takes it. */
function organise({ postgres }: World, write: Write): void {
  on(postgres.machine, () => void postgres.transact(write).catch(() => {}))
}
