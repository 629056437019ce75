/**
 * `npm run simulate`: runs seeded schedules of faults against the product in virtual time.
 *
 * Ends with 1 when a promise was broken, or when a full run has not met every rare state.
 */
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { replaceModules } from './replaced.ts'
import { begin, install } from './scheduler.ts'
import type { Report } from './simulate.ts'
import { RARE } from './sometimes.ts'
import { simulateInWorkers } from './workers.ts'

const USAGE = `Runs seeded schedules of faults against gateways, backends, screens and voters in virtual time.

  --seed N         the first seed (1)
  --schedules N    how many seeds (2000)
  --seconds N      end after so long
  --findings N     end after so many seeds that break something, in each process (5)
  --workers N      processes (one for each core)
  --only 0,2       one seed, and of its faults these alone ("none": none)
  --logs           print what the processes of the one seed log
  --json           print the report as JSON alone
`
/** So many schedules meet every rare state. */
const FULL = 2_000

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    schedules: { type: 'string', default: '2000' },
    seconds: { type: 'string', default: 'Infinity' },
    findings: { type: 'string', default: '5' },
    workers: { type: 'string', default: String(availableParallelism()) },
    only: { type: 'string' },
    logs: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const { hrtime } = process
const startedAt = hrtime.bigint()
const seconds = () => Number(hrtime.bigint() - startedAt) / 1e9
const [seed, schedules, maxFindings, workers] = [values.seed, values.schedules, values.findings, values.workers].map(Number) as [
  number,
  number,
  number,
  number,
]

if (values.help) console.log(USAGE)
else if (values.only !== undefined || values.logs) await replay()
else {
  const options = { seed, schedules, seconds: Number(values.seconds), maxFindings }
  const report = workers > 1 ? await simulateInWorkers(options, Math.min(workers, schedules)) : await simulateHere()
  if (values.json) console.log(JSON.stringify(report))
  else print(report)
  const isFull = report.schedules >= FULL
  process.exit(report.findings.length > 0 || (isFull && !values.json && unmet(report).length > 0) ? 1 : 0)
}

/** Puts virtual time in place, and loads what runs in it. */
async function load() {
  replaceModules()
  install()
  // what modules do while they are loaded
  begin(0, (fault) => {
    throw fault
  })
  const [{ simulate }, plans, { runSchedule }, { logs }] = await Promise.all([
    import('./simulate.ts'),
    import('./plan.ts'),
    import('./schedule.ts'),
    import('./stubs.ts'),
  ])
  return { simulate, ...plans, runSchedule, logs }
}

async function simulateHere(): Promise<Report> {
  const { simulate } = await load()
  const loadedAt = seconds()
  const isOver = () => seconds() - loadedAt >= Number(values.seconds)
  // at once, since a long run may be interrupted
  return await simulate({ seed, schedules, maxFindings, isOver, onFinding: ({ text }) => console.error(text) })
}

async function replay(): Promise<void> {
  const { planOf, keeping, runSchedule, logs } = await load()
  logs.arePrinted = values.logs
  const plan = planOf(seed)
  const places = (values.only ?? [...plan.faults.keys()].join()).split(',').map(Number)
  const outcome = await runSchedule(keeping(plan, places))
  console.log({ ...plan, faults: keeping(plan, places).faults }, outcome)
  process.exit(outcome.violation === undefined ? 0 : 1)
}

function unmet({ met }: Report): string[] {
  return RARE.filter((state) => met[state] === undefined)
}

function print(report: Report): void {
  const minutes = Math.round(report.virtualMs / 60_000)
  console.log(`\n${report.schedules} schedules, ${report.steps} steps, ${minutes} virtual minutes in ${seconds().toFixed(0)} s`)
  for (const [state, times] of Object.entries(report.met).toSorted(([one], [other]) => one.localeCompare(other)))
    console.log(`${String(times).padStart(8)}  ${state}`)
  for (const state of unmet(report)) console.log(`   never  ${state}`)
  if (report.schedules >= FULL && unmet(report).length > 0) console.log('a full run has to meet every rare state')
  console.log(report.findings.length === 0 ? 'no promise was broken' : `${report.findings.length} seeds broke a promise`)
}
