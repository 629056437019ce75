/** What can go wrong in a world. Each kind does it to a target, and may return what ends it. */
import {
  one,
  remaining,
  excuseScreen,
  excuse,
  namesOf,
  partition,
  loseConnection,
  stopService,
  replaceBackend,
  crash,
  restartRedis,
  restartPostgres,
  soon,
  loseCommits,
  until,
  whenSomebodyMoves,
  organise,
  UNTIL_SILENCE_MS,
  type Inflict,
  type Undo,
} from './harm.ts'
import { plan, resume, stop, time } from './scheduler.ts'
import { openScreen } from './screen.ts'

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
  // for so long that screens have to be told
  'gateway is cut off': (world, target, forMs) => {
    const gateway = one(world.running('gateway'), target)
    if (gateway === undefined) return
    gateway.isExcused = true
    const { name } = gateway.machine
    const undos = ['redis', 'backend-1', 'backend-2'].map((other) => partition(world, [name], other, 2))
    world.later(forMs + 7_000, () => undos.forEach((undo) => undo()))
  },
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
