/** Runs one schedule: the world starts, people vote while faults happen, everything heals, screens catch up, all leave. */
import { FAULTS } from './faults.ts'
import type { Violation } from './judge.ts'
import { LONG, type Plan, QUIET } from './plan.ts'
import { begin, note, on, plan as planEvent, runUntil, stepsSoFar, time, traceHash } from './scheduler.ts'
import { openScreen } from './screen.ts'
import { startVoter } from './voter.ts'
import { World } from './world.ts'

export interface Outcome {
  readonly violation: Violation | undefined
  readonly sometimes: ReadonlyMap<string, number>
  readonly trace: string
  readonly steps: number
  /** Virtual milliseconds. */
  readonly tookMs: number
  /** How long it took until every screen was right once nothing was wrong. */
  readonly caughtUpMs: number
}

const START_MS = 4_000
const LOOK_MS = 250
/** How soon every screen is right once nothing is wrong: a client waits ten seconds at most before it dials again. */
const CATCH_UP_MS = 12_000
/** And where one has to find out by silence that its feed is dead. */
const CATCH_UP_LATE_MS = 75_000
/** After so long without a fault every connection is as it was before, and news take no longer than `FAST_MS`. */
const SETTLE_MS = 5_000
const FAST_MS = 500
/** The longest that a fault takes on its own. */
const LATEST_MS = 40_000
const LEAVE_MS = 13_000

export async function runSchedule(plan: Plan): Promise<Outcome> {
  let world: World | undefined
  begin(plan.seed, (fault, machine) => {
    const what = fault instanceof Error ? (fault.stack ?? fault.message) : String(fault)
    world?.judge.fail('no fault is left uncaught', `${machine.name}: ${what}`)
  })
  world = new World(Array.from({ length: plan.polls }, (_, place) => ['tea', 'mate'][place] ?? ''))
  const caughtUpMs = await runPlan(world, plan)
  const { judge, sometimes } = world
  return {
    violation: judge.violation,
    sometimes: sometimes.met,
    trace: traceHash(),
    steps: stepsSoFar(),
    tookMs: time(),
    caughtUpMs,
  }
}

async function runPlan(world: World, plan: Plan): Promise<number> {
  const { judge, postgres, balancer } = world
  const isOver = () => judge.violation !== undefined
  const wait = async (ms: number, isDone: () => boolean = () => false) => await runUntil(time() + ms, () => isOver() || isDone())

  for (const slug of world.slugs) postgres.tables.create(slug)(postgres.tables.nextXid++)
  judge.committed()
  for (const name of ['backend-1', 'backend-2']) world.startBackend(name)
  world.startGateway()
  world.startGateway()
  balancer.start()
  await wait(START_MS, () => balancer.ready.length === 2)
  if (balancer.ready.length < 2) judge.fail('services start', `${balancer.ready.length} gateways are ready`)
  for (let n = 1; n <= plan.screens; n++) world.screens.push(openScreen(`screen-${n}`, world.slugs))
  for (let n = 1; n <= plan.voters; n++) {
    world.voters.push(startVoter(`voter-${n}`, world.slugs[n % world.slugs.length] ?? '', plan.pauseMs))
  }
  const look = () => {
    judge.look()
    planEvent(world.outside, LOOK_MS, look)
  }
  look()

  const begunAt = time()
  judge.isQuiet = plan.faults.every(({ kind }) => QUIET.has(kind))
  for (const { kind, at, forMs, target } of plan.faults) {
    planEvent(world.outside, begunAt + at - time(), () => {
      note(kind)
      const undo = FAULTS[kind](world, target, forMs)
      if (undo) planEvent(world.outside, forMs, undo)
    })
  }
  await wait(plan.voteUntilMs)
  for (const voter of world.voters) voter.stop()
  await wait(plan.workMs - plan.voteUntilMs + 100)
  if (isOver()) return 0

  // some faults take longer
  await wait(LATEST_MS, () => !world.isHarmed)
  if (plan.isFreshInTheEnd) {
    balancer.preferred = world.startGateway().machine.name
    await wait(900)
    world.screens.push(openScreen('fresh', world.slugs))
  }
  const late = plan.faults.some(({ kind }) => LONG.has(kind)) ? CATCH_UP_LATE_MS : CATCH_UP_MS
  let missing: string | undefined = 'nothing was looked at'
  const isRight = () => {
    if (world.voters.some(({ isSending }) => isSending)) missing = 'a vote is under way'
    else if (world.isReplacing()) missing = 'a process is being replaced'
    else missing = judge.missing()
    return missing === undefined
  }
  const healedAt = time()
  while (!isOver() && !isRight() && time() < healedAt + late) await wait(LOOK_MS)
  if (isOver()) return 0
  const caughtUpMs = time() - healedAt
  if (missing !== undefined) judge.fail('every screen is right again', `after ${late} ms ${missing}`)
  judge.mustKeepVotes()
  if (plan.isFreshInTheEnd && !isOver() && world.screens.every(({ excusedUntil }) => excusedUntil <= time())) {
    await wait(SETTLE_MS)
    const edits = world.slugs.map((slug) => postgres.tables.edit(slug, { question: 'Is it fast again?' }))
    on(postgres.machine, () => void postgres.transact((xid) => edits.forEach((edit) => edit(xid))))
    await wait(FAST_MS)
    const old = judge.missing()
    const unwell = world.unwell()
    if (unwell !== undefined) judge.fail('once nothing is wrong, every probe says so', unwell)
    if (old !== undefined) judge.fail('news come as fast as before', `after ${FAST_MS} ms ${old}`)
  }

  for (const screen of world.screens) screen.close()
  for (const service of world.services) world.leave(service)
  await wait(LEAVE_MS, () => world.services.every(({ machine }) => machine.state === 'dead'))
  const staying = world.services.find(({ machine }) => machine.state !== 'dead')
  if (staying) judge.fail('a process that is told to leave does so in time', `${staying.machine.name} stays`)
  return caughtUpMs
}
