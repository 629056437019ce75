/** How harm is done to a world: what several kinds of faults have in common. */
import type { Screen, Service } from './inhabitants.ts'
import { createMachine, on, resume, stop, time } from './scheduler.ts'
import type { Tables, Write } from './tables.ts'
import type { World } from './world.ts'

export type Undo = () => void
/** `target` chooses among whoever it may be done to. What it returns ends it. */
export type Inflict = (world: World, target: number, forMs: number) => Undo | void

/** A screen says by itself that its feed is dead after 35 s, and needs some more to find another. */
export const UNTIL_SILENCE_MS = 60_000

export const one = <T>(items: readonly T[], target: number): T | undefined => items[target % Math.max(1, items.length)]
export const remaining = (world: World, kind: Service['kind']) =>
  world.running(kind).filter(({ leavingAt }) => leavingAt === undefined)

export function excuseScreen(screen: Screen, forMs: number): void {
  screen.excusedUntil = Math.max(screen.excusedUntil, time() + forMs)
}

/** Excuses the screens that have a socket to the gateway. */
export function excuse(world: World, gateway: string, forMs: number): void {
  for (const screen of world.screens) {
    if ([...screen.sockets].some((socket) => socket.gateway === gateway)) excuseScreen(screen, forMs + UNTIL_SILENCE_MS)
  }
}

export const namesOf = (world: World) =>
  world.services.filter(({ machine }) => machine.state !== 'dead').map(({ machine }) => machine.name)

/** Nothing passes between them, or in one direction alone, as `target` says. */
export function partition({ network }: World, ones: readonly (string | undefined)[], other: string, target: number): Undo {
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
export function loseConnection({ network }: World, server: string, target: number): void {
  const end = one(
    [...network.ends].filter((each) => each.owner.name === server),
    target,
  )
  if (end !== undefined) network.loseSilently(end)
}

export function stopService(world: World, service: Service | undefined): Undo | undefined {
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

export function replaceBackend(world: World, service: Service | undefined): void {
  if (service === undefined) return
  const { name } = service.machine
  world.leave(service)
  const succeed = () => {
    if (service.machine.state === 'dead') world.startBackend(name)
    else world.later(50, succeed)
  }
  succeed()
}

export function crash(world: World, service: Service | undefined, isSilent: boolean): Undo | undefined {
  if (service === undefined) return undefined
  if (service.kind === 'gateway' && isSilent) excuse(world, service.machine.name, 0)
  world.crash(service, isSilent)
  world.judge.forgetPending()
  return () => void (service.kind === 'gateway' ? world.startGateway() : world.startBackend(service.machine.name))
}

export function restartRedis(world: World, keys: ReturnType<World['redis']['saved']>, name: string): Undo | undefined {
  if (world.redis.machine.state === 'dead') return undefined
  world.crashServer(world.redis.machine)
  return () => {
    world.sometimes.note(name)
    world.redis.replace(createMachine('redis'), keys)
  }
}

export function restartPostgres(world: World, tables: Tables, identity?: string): Undo | undefined {
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
export const soon = (forMs: number) => Math.min(forMs / 3, 500)

/** The server dies, and what it had some time before comes back. */
export function loseCommits(world: World, forMs: number, identity?: string): Undo {
  const tables = world.postgres.tables.copy()
  const history = world.postgres.tables
  const from = time()
  let undo: Undo | undefined
  world.later(soon(forMs), () => {
    // meanwhile it may have been replaced by another one
    if (world.postgres.tables === history) undo = restartPostgres(world, tables, identity)
  })
  return () => {
    if (undo !== undefined) world.judge.lost(from)
    undo?.()
  }
}

export const until = (forMs: number) => time() + forMs

/** Does it as soon as a client moves, if one does within three seconds. */
export function whenSomebodyMoves(world: World, run: () => void, tries = 150): void {
  if (world.screens.some(({ client }) => client.status.state === 'moving')) run()
  else if (tries > 0) world.later(20, () => whenSomebodyMoves(world, run, tries - 1))
}

/** Runs an organiser's transaction, if the database is there and takes it. */
export function organise({ postgres }: World, write: Write): void {
  on(postgres.machine, () => void postgres.transact(write).catch(() => {}))
}
