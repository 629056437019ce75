/** A chaos run: an audience and voters over many faults, and at every moment the question whether any screen is wrong. */
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { takePrevious } from './previous.ts'
import { calibrate } from '../support/calibration.ts'
import { drawTimeline } from './timeline.ts'
import { startPace } from './pace.ts'
import { planFaults, FAULT_KINDS, sparingFirst, type FaultKind } from './fault-plan.ts'
import { createFaults } from './faults.ts'
import { OWN, watchFootprints } from './footprints.ts'
import { createJournal, type Journal } from './journal.ts'
import { CLOSING_POLLS, createOrganiser, LASTING_POLLS, OPTIONS, PASSING_POLLS, POLLS } from './organiser.ts'
import { answersByChapter, kindFigures, renderReport, spread, voteFigures, type ChaosReport } from './report.ts'
import { openScreens, type Screen } from './screens.ts'
import { createTallyLedger } from './tally-ledger.ts'
import { observeDatabase } from './truth.ts'
import { createVoteLedger } from './vote-ledger.ts'
import { startVoters } from './voters.ts'
import { startWatch } from './watch.ts'
import { startWorld, type World } from './world.ts'

export interface ChaosOptions {
  readonly seed: number
  readonly minutes: number
  /** Votes a second. */
  readonly rate: number
  readonly voters: number
  readonly screens: number
  /** Only these faults; all unless told. */
  readonly kinds?: readonly FaultKind[]
  /** A commit or a tag: half of the processes and of the screens are of that version. */
  readonly previous?: string
  readonly signal: AbortSignal
  readonly say: (line: string) => void
}

export interface ChaosRun {
  readonly report: ChaosReport
  readonly text: string
  /** Where the report, the ledger and the logs are. */
  readonly directory: string
}

const AUDIENCES = [[LASTING_POLLS[0]], [...LASTING_POLLS], [...LASTING_POLLS, ...CLOSING_POLLS], [...PASSING_POLLS], [...POLLS]]
const GATHER_MS = 20_000
/** Kinds during which no vote may fail: the edge tries elsewhere. */
const HARMLESS = new Set<FaultKind>([
  'backend is replaced',
  'gateway is replaced',
  'many read',
  'redis is emptied',
  'redis carries rubbish',
  'clients do not read',
  'upgrades break off',
  'wrong frames',
  'strangers ask',
  'one voter votes at once',
])

/** Runs until its time is over; rejects when the signal aborts. Leaves nothing but the directory. */
export async function runChaos(options: ChaosOptions): Promise<ChaosRun> {
  const { seed, signal, say } = options
  const directory = await mkdtemp(join(tmpdir(), 'livetally-chaos-'))
  const { slowness } = await calibrate()
  await using stack = new AsyncDisposableStack()
  const pace = startPace(slowness)
  stack.defer(() => pace.stop())
  const journal = createJournal(join(directory, 'ledger.jsonl'), say)
  stack.defer(() => journal.close())
  journal.say(`seed ${seed}, slowness ${slowness.toFixed(2)}, everything is written to ${directory}`)

  const previousRoot = options.previous === undefined ? undefined : stack.use(await takePrevious(options.previous)).root
  const world = await startWorld(journal, pace, signal, previousRoot)
  stack.defer(() => world.stop())
  stack.defer(async () => {
    for (const [number, { name, child }] of world.lives.entries()) {
      await writeFile(join(directory, `${number}-${name.split(' ')[0]}.log`), [...child.lines, child.stderr].join('\n'))
    }
  })
  const organiser = createOrganiser({ url: world.url, seed, journal })
  await organiser.prepare()

  const tallies = createTallyLedger()
  const truth = await observeDatabase(world.postgres.url, journal, tallies)
  stack.defer(() => truth.stop())
  const audience = Array.from({ length: options.screens }, (_, number) => AUDIENCES[number % AUDIENCES.length] ?? POLLS)
  const screens = await openScreens({ url: world.url, audience, tallies, journal, lateEdits: organiser.lateEdits, previousRoot })
  stack.defer(() => screens.stop())
  await gathered(screens.all)

  const votes = createVoteLedger()
  const { rate, voters: number } = options
  const voters = await startVoters({
    url: world.url,
    seed,
    voters: number,
    rate,
    polls: POLLS,
    options: OPTIONS,
    pace,
    ledger: votes,
    journal,
  })
  let votersStopped: Promise<void> | undefined
  const stopVoters = () => (votersStopped ??= voters.stop())
  stack.defer(() => stopVoters())
  organiser.start()
  stack.defer(() => organiser.stop())
  const watch = startWatch({ truth, screens: screens.all, journal, pace })
  stack.defer(() => watch.stop())
  const footprints = watchFootprints(world.lives)
  stack.defer(() => footprints.stop())

  const endsAt = Date.now() + options.minutes * 60_000
  const sparesFrom = journal.startedAt + (endsAt - journal.startedAt) / 4
  const perform = createFaults({ world, truth, journal, votes, pace, signal })
  let ballotsCompared = 0
  for (const { quietMs, fault: planned } of planFaults(seed, options.kinds ?? FAULT_KINDS)) {
    if (Date.now() + quietMs > endsAt) break
    await delay(quietMs, undefined, { signal })
    ballotsCompared += await truth.check(votes)
    const fault = Date.now() > sparesFrom ? sparingFirst(planned) : planned
    const chapter = journal.begin(fault)
    journal.say(`fault ${chapter.number}: ${JSON.stringify(fault)}`)
    try {
      await perform(fault, chapter)
    } catch (error) {
      if (signal.aborted) throw error
      journal.violate('a fault could not be planted', String(error))
    }
    if (!(await watch.recover(chapter))) {
      journal.write({ processes: await world.describe() })
      await heal(world, journal)
      await watch.heal()
    }
    journal.end(chapter)
    const { median, max } = spread(chapter.recoveriesMs ?? [])
    journal.say(`fault ${chapter.number}: screens right after ${Math.round(median)} ms, the last after ${Math.round(max)} ms`)
    if (signal.aborted) break
  }
  await delay(3_000, undefined, { signal })
  await organiser.stop()
  await stopVoters()
  for (const wrong of await watch.settle()) journal.violate('in the end a screen does not show what the database has', wrong)
  ballotsCompared += await truth.check(votes)
  await watch.stop()
  screens.stop()
  footprints.stop()
  await Promise.all(world.slots.map((slot) => world.leave(slot)))

  const endedAt = Date.now()
  const answers = answersByChapter(journal.chapters, voters.answers)
  const figures = footprints.judge()
  for (const { name, residentBytes, heapBytes, descriptors } of figures) {
    for (const [what, flatness] of Object.entries({ ...(name === OWN ? {} : { residentBytes, heapBytes }), descriptors })) {
      if (flatness.kind === 'grew')
        journal.violate('a process grew', `${name}: ${what} from ${flatness.first} to ${flatness.last}`)
    }
  }
  const kinds = kindFigures(journal.chapters, answers.met)
  const calm = { lagMs: spread(watch.calmLagsMs), votes: voteFigures(answers.calm) }
  for (const { kind, votes: met } of kinds) {
    if (HARMLESS.has(kind)) judgeVotes(journal, kind, met)
  }
  judgeVotes(journal, 'nothing is wrong', calm.votes)

  const report: ChaosReport = {
    seed,
    previous: options.previous,
    seconds: (endedAt - journal.startedAt) / 1_000,
    slowness: { first: slowness, most: pace.most },
    votesOrdered: voters.areOrdered,
    screens: options.screens,
    tallies: tallies.tallies,
    acts: organiser.acts,
    ballotsCompared,
    lateBallots: truth.late,
    kinds,
    calm,
    footprints: figures,
    broken: Object.fromEntries(journal.broken),
    violations: journal.violations,
  }
  const text = renderReport(report)
  await writeFile(join(directory, 'report.json'), `${JSON.stringify({ ...report, chapters: journal.chapters }, undefined, 2)}\n`)
  await writeFile(join(directory, 'report.txt'), text)
  const { chapters, startedAt } = journal
  const picture = drawTimeline({ startedAt, endedAt, chapters, worst: watch.worst, answers: voters.answers }, report)
  await writeFile(join(directory, 'timeline.svg'), picture)
  return { report, text, directory }
}

function judgeVotes(journal: Journal, during: string, { failed, unanswered, sent }: ChaosReport['calm']['votes']): void {
  if (failed + unanswered === 0) return
  journal.violate(`votes failed while ${during}`, `${failed} answered 5xx and ${unanswered} unanswered of ${sent}`)
}

/** Replaces every process, so that the next fault is judged for itself. */
async function heal(world: World, journal: Journal): Promise<void> {
  journal.say('screens were given up: every process is replaced')
  for (const slot of world.slots) {
    await world.kill(slot)
    await world.start(slot)
  }
}

/** Resolves once every screen shows something of every poll that it follows. */
async function gathered(screens: readonly Screen[]): Promise<void> {
  const deadline = Date.now() + GATHER_MS
  while (!screens.every(({ polls, tallies }) => polls.every((poll) => tallies.has(poll)))) {
    if (Date.now() > deadline)
      throw new Error(`not every screen has its first tally: ${screens.map((screen) => screen.describe()).join('; ')}`)
    await delay(50)
  }
}
