/** Performs the planned faults on the world. A fault is over when its function resolves; whatever was stopped runs again then. */
import { spawn, type ChildProcess } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import { Agent, request } from 'undici'
import type { Fault } from './fault-plan.ts'
import type { Chapter, Journal } from './journal.ts'
import { POLLS } from './organiser.ts'
import type { Pace } from './pace.ts'
import { holdConnections, killServerProcess, lockBallots, stopServerProcess } from './postgres-faults.ts'
import { comeBackOlder, cutConnections, empty, flood, publishRubbish } from './redis-faults.ts'
import { askAsStranger, voteAtOnce } from './requests.ts'
import { createStrangers } from './strangers.ts'
import type { Truth } from './truth.ts'
import type { VoteLedger } from './vote-ledger.ts'
import type { Slot, World } from './world.ts'

export interface FaultsOptions {
  readonly world: World
  readonly truth: Truth
  readonly journal: Journal
  readonly votes: VoteLedger
  readonly pace: Pace
  readonly signal: AbortSignal
}

/** So many connections read at a time. */
const READERS = 200

export function createFaults({ world, truth, journal, votes, pace, signal }: FaultsOptions) {
  const { redis, postgres, url } = world
  const strangers = createStrangers(url, journal, pace)
  const wait = (ms: number) => delay(ms, undefined, { signal })

  /** Does `meanwhile` while nothing is new for any screen. */
  const inSilence = async (chapter: Chapter, meanwhile: () => Promise<unknown>) => {
    chapter.silence = Date.now()
    await meanwhile()
    chapter.silence = undefined
  }
  /** Does it, and undoes what was done before whatever happens. */
  const undoing = async (undo: () => unknown, meanwhile: () => Promise<unknown>) => {
    try {
      await meanwhile()
    } finally {
      await undo()
    }
  }
  const stall = async (slot: Slot, forMs: number) => {
    const child = slot.running?.child
    child?.send('SIGSTOP')
    await undoing(
      () => child?.send('SIGCONT'),
      () => wait(forMs),
    )
  }
  const restart = async (slot: Slot, downMs: number) => {
    await world.kill(slot)
    await wait(downMs)
    await world.start(slot)
  }
  const outOfReach = async (which: 'redis' | 'postgres', slots: readonly Slot[], forMs: number, end: 'cut' | 'resume') => {
    const relays = slots.map((slot) => slot[which])
    for (const relay of relays) relay.hold()
    await undoing(
      () => relays.forEach((relay) => relay[end]()),
      () => wait(forMs),
    )
  }

  return async function perform(fault: Fault, chapter: Chapter): Promise<void> {
    switch (fault.kind) {
      case 'redis stalls':
        await redis.pause()
        return await undoing(redis.resume, () => inSilence(chapter, () => wait(fault.forMs)))
      case 'redis dies':
        await redis.kill()
        await wait(fault.downMs)
        return await redis.start()
      case 'redis comes back older':
        return await comeBackOlder(redis, fault.ageMs, fault.downMs)
      case 'redis cuts connections':
        return await cutConnections(redis, fault.type, fault.everyMs, fault.forMs)
      case 'redis is emptied':
        return await empty(redis, fault.times, fault.everyMs)
      case 'redis carries rubbish':
        return await publishRubbish(redis, journal, fault.ageMs, fault.copies)
      case 'redis out of reach': {
        const hold = () => outOfReach('redis', world.within(fault.reach), fault.forMs, fault.end)
        return await (fault.reach === 'all' ? inSilence(chapter, hold) : hold())
      }
      case 'postgres out of reach': {
        const hold = () => outOfReach('postgres', world.within(fault.reach), fault.forMs, fault.end)
        return await (fault.reach === 'all' ? inSilence(chapter, hold) : hold())
      }
      case 'postgres restarts':
        await (fault.how === 'fast' ? postgres.shutDown() : postgres.crash())
        await wait(fault.downMs)
        return await postgres.start()
      case 'postgres cuts connections':
        return await truth.cutOthers()
      case 'postgres loses answers': {
        const backends = [world.backend(0), world.backend(1)]
        for (let time = 0; time < fault.times; time += 1) {
          await outOfReach('postgres', backends, fault.heldMs, 'cut')
          await wait(fault.everyMs)
        }
        return
      }
      case 'postgres server process dies':
        return await killServerProcess(postgres.url, journal)
      case 'postgres server process stalls':
        return await stopServerProcess(postgres.url, journal, fault.forMs)
      case 'postgres has no connection left':
        return await holdConnections(postgres.url, journal, fault.forMs)
      case 'ballots are locked':
        return await lockBallots(postgres.url, fault.forMs)
      case 'backend stalls':
        return await stall(world.backend(fault.replica), fault.forMs)
      case 'gateway stalls': {
        const stalled = stall(world.gateway(fault.replica), fault.forMs)
        return void (await Promise.all([stalled, fault.flooded ? flood(redis, journal, fault.forMs) : undefined]))
      }
      case 'backend dies':
        return await restart(world.backend(fault.replica), fault.downMs)
      case 'gateway dies':
        return await restart(world.gateway(fault.replica), fault.downMs)
      case 'backend is replaced': {
        const slot = world.backend(fault.replica)
        await world.leave(slot)
        return await world.start(slot)
      }
      case 'gateway is replaced':
        return await world.replaceGateway(world.gateway(fault.replica))
      case 'services leave without redis': {
        const slots = [world.backend(fault.replica), world.gateway(fault.replica)]
        await redis.pause()
        await undoing(redis.resume, () => inSilence(chapter, () => Promise.all(slots.map((slot) => world.leave(slot)))))
        await Promise.all(slots.map((slot) => world.start(slot)))
        return
      }
      case 'services leave without postgres': {
        const slot = world.backend(fault.replica)
        await postgres.shutDown()
        await undoing(postgres.start, () => inSilence(chapter, () => world.leave(slot)))
        return await world.start(slot)
      }
      case 'many read':
        return await readMany(url, fault.reads, journal)
      case 'clients do not read':
        return await strangers.doNotRead(fault.clients, fault.forMs)
      case 'upgrades break off':
        return await strangers.breakOffUpgrades(fault.each)
      case 'wrong frames':
        return await strangers.sendWrongFrames(fault.each)
      case 'strangers ask':
        return await askAsStranger(url, journal, `over-${chapter.number}`, fault.times)
      case 'one voter votes at once':
        for (let time = 0; time < fault.times; time += 1) await voteAtOnce(url, journal, votes, fault.votes)
        return
      case 'machine is busy':
        return await burn(fault.burners, fault.forMs)
    }
  }
}

/** Runs processes that do nothing but turn, for so long. */
async function burn(burners: number, forMs: number): Promise<void> {
  const program = `const until = performance.now() + ${forMs}; while (performance.now() < until) {}`
  const children = Array.from({ length: burners }, (): ChildProcess =>
    spawn(process.execPath, ['-e', program], { stdio: 'ignore' }),
  )
  await Promise.all(children.map((child) => new Promise((resolve) => child.once('exit', resolve))))
}

/** Reads polls as anybody may, as fast as they are answered; one that is refused is a violation. */
async function readMany(url: string, reads: number, journal: Journal): Promise<void> {
  const dispatcher = new Agent({ connections: READERS })
  const statuses = new Map<number, number>()
  await Promise.all(
    Array.from({ length: reads }, async (_, number) => {
      const status = await request(`${url}/api/polls/${POLLS[number % 2]}`, { dispatcher }).then(
        async (answer) => {
          await answer.body.dump()
          return answer.statusCode
        },
        () => 0,
      )
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }),
  )
  await dispatcher.destroy()
  journal.write({ reads: Object.fromEntries(statuses) })
  const refused = [...statuses].filter(([status]) => status === 0 || status >= 500)
  if (refused.length > 0) {
    journal.violate('reads were refused', `${refused.map(([status, n]) => `${n} with ${status}`).join(', ')}, of ${reads}`)
  }
}
