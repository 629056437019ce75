/**
 * `npm run mutants`: plants faults, one by one, in a copy of the project, and tells which tests notice each.
 *
 * Ends with 1 when a fault is noticed by nothing, or when the tests fail without any.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'
import { provideServices, type Service } from '../support/services.ts'
import { loadMutants, type Mutant, mutated } from './mutant.ts'

const USAGE = `Plants faults, one by one, in a copy of the project, and tells which tests notice each.

  --only NAME      this one alone; may be repeated
  --list           print their names and what each breaks
  --schedules N    how many schedules the simulator runs on a fault in its parts (200; 0: it does not run)
  --seconds N      how long it runs at most (30)
  --chaos          run what no test and no schedule has noticed, and what --only names, through "npm run chaos" too
  --minutes N      for so many minutes each (3)
  --planted-only   leave out the run of the same tests without any fault
`
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const exec = promisify(execFile)
/** A fault may make a test wait for ever. */
const TEST_TIMEOUT_MS = 90_000
/** A failed test in TAP; those inside another come before it. */
const FAILED = /^\s*not ok \d+ - (.*?)(?: # .*)?$/

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    list: { type: 'boolean', default: false },
    schedules: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '30' },
    chaos: { type: 'boolean', default: false },
    minutes: { type: 'string', default: '3' },
    'planted-only': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})
const started: Service[] = []
let running: ChildProcess | undefined
let isLeaving = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    isLeaving = true
    kill(running, 'SIGTERM')
  })
}

const all = await loadMutants()
const unknown = values.only.filter((name) => !all.has(name))
const chosen = [...all].filter(([name]) => values.only.length === 0 || values.only.includes(name))

if (values.help) console.log(USAGE)
else if (unknown.length > 0) {
  console.error(`there is no planted fault named ${unknown.join(', ')}: --list names all`)
  process.exitCode = 2
} else if (values.list) for (const [name, { promise }] of chosen) console.log(`${name}: ${promise}`)
else process.exitCode = await plantAll()

async function plantAll(): Promise<number> {
  const copy = await mkdtemp(path.join(tmpdir(), 'mutants-'))
  try {
    const { redis, postgres } = await provideServices(process.env, (service) => started.push(service))
    const plant = plantIn(copy, { REDIS_URL: redis.url, DATABASE_URL: postgres.url })
    await copyTo(copy)
    if (!values['planted-only']) {
      const failed = await plant.failsWithout(chosen.map(([, mutant]) => mutant))
      if (failed !== undefined) {
        console.error(`without any planted fault this fails: ${failed}`)
        return 1
      }
    }
    let escaped = 0
    console.log('| planted fault | noticed by | which |\n| --- | --- | --- |')
    for (const [name, mutant] of chosen) {
      const noticed = await plant.noticed(mutant)
      if (isLeaving) return 130
      if (noticed.length === 0) escaped += 1
      const kinds = noticed.map(({ kind }) => kind).join(', ') || '**nothing**'
      console.log(`| \`${name}\` | ${kinds} | ${noticed.map(({ by }) => by.replaceAll('|', '\\|')).join('; ')} |`)
    }
    console.log(`${chosen.length - escaped} of ${chosen.length} are noticed`)
    return escaped === 0 ? 0 : 1
  } finally {
    await Promise.all(started.map((service) => service.stop()))
    await rm(copy, { recursive: true, force: true })
  }
}

/** The files that git knows, as they are in the tree, with the packages and the compiled pages. */
async function copyTo(copy: string): Promise<void> {
  const { stdout } = await exec('git', ['ls-files', '-z'], { cwd: ROOT, maxBuffer: 2 ** 24 })
  const files = stdout.split('\0').filter(Boolean)
  // what git knows may have been deleted
  for (const file of files) await cp(path.join(ROOT, file), path.join(copy, file)).catch(ignoreMissing)
  await symlink(path.join(ROOT, 'node_modules'), path.join(copy, 'node_modules'))
  await compilePages(copy)
}

async function compilePages(copy: string): Promise<void> {
  await exec(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'gateway/web/tsconfig.json'], { cwd: copy })
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}

/** Signals a program that has a process group of its own, and those that it started. */
function kill(child: ChildProcess | undefined, signal: NodeJS.Signals): void {
  try {
    if (child?.pid !== undefined) process.kill(-child.pid, signal)
  } catch {
    // it has ended
  }
}

/** What noticed a fault: a kind of test, and which one or what it says. */
interface Noticed {
  readonly kind: 'tests beside the code' | 'processes' | 'simulator' | 'chaos'
  readonly by: string
}

function plantIn(copy: string, services: Readonly<Record<string, string>>) {
  const env = { ...process.env, ...services, PATH: `${path.join(ROOT, 'node_modules/.bin')}:${process.env['PATH'] ?? ''}` }

  /** Runs a program of the copy. Ends it at the first line that `isLast` picks and resolves to that; otherwise to its exit code. */
  const run = async (
    args: readonly string[],
    isLast: (line: string) => boolean,
    boundMs = 2 ** 31 - 1,
  ): Promise<string | number> => {
    const child = spawn(process.execPath, args, { cwd: copy, env, stdio: ['ignore', 'pipe', 'ignore'], detached: true })
    running = child
    let last: string | undefined
    const timer = setTimeout(() => {
      last = 'it does not end'
      kill(child, 'SIGKILL')
    }, boundMs)
    const ended = once(child, 'exit') as Promise<[number | null]>
    for await (const line of createInterface({ input: child.stdout })) {
      if (last !== undefined || !isLast(line)) continue
      last = line
      kill(child, 'SIGTERM')
    }
    const [code] = await ended
    clearTimeout(timer)
    running = undefined
    return last ?? code ?? 1
  }

  /** The name of the first test that fails; undefined if none does. */
  const failing = async (tests: readonly string[], pattern: string | undefined): Promise<string | undefined> => {
    const named = pattern === undefined ? [] : [`--test-name-pattern=${pattern}`]
    const options = ['--test-reporter=tap', `--test-timeout=${TEST_TIMEOUT_MS}`, ...named]
    const ended = await run(['e2e/support/run-tests.ts', ...options, ...tests], (line) => FAILED.test(line))
    if (typeof ended === 'string') return FAILED.exec(ended)?.[1] ?? ended
    return ended === 0 || isLeaving ? undefined : `the tests end with ${ended}`
  }

  /** A promise that the simulator finds broken. */
  const broken = async (): Promise<string | undefined> => {
    const options = ['--json', '--findings', '1', '--schedules', values.schedules, '--seconds', values.seconds]
    let report = ''
    const take = (line: string) => {
      report = line
      return false
    }
    // a fault may make a schedule endless
    const boundMs = 2_000 * Number(values.seconds) + 30_000
    const ended = await run(['e2e/simulator/main.ts', ...options], take, boundMs)
    if (isLeaving) return undefined
    if (typeof ended === 'string') return ended
    if (report === '') throw new Error(`the simulator ends with ${ended} and without a report`)
    const { findings } = JSON.parse(report) as { findings: { seed: number; promise: string }[] }
    return findings[0] && `seed ${findings[0].seed}: ${findings[0].promise}`
  }

  const isRun = ({ isSimulated }: Mutant) => isSimulated === true && values.schedules !== '0'

  return {
    async failsWithout(mutants: readonly Mutant[]): Promise<string | undefined> {
      for (const [pattern, those] of Map.groupBy(mutants, (mutant) => mutant.pattern)) {
        const failed = await failing([...new Set(those.flatMap(({ tests }) => tests))], pattern)
        if (failed !== undefined) return failed
      }
      return mutants.some(isRun) ? await broken() : undefined
    },
    async noticed(mutant: Mutant): Promise<Noticed[]> {
      const files = await mutated(copy, mutant)
      const sound = await Promise.all(
        [...files.keys()].map(async (file) => [file, await readFile(path.join(copy, file), 'utf8')] as const),
      )
      const noticed: Noticed[] = []
      try {
        for (const [file, text] of files) await writeFile(path.join(copy, file), text)
        // the cheap ones first, and the others only when those have not noticed
        const [processes, units] = [true, false].map((is) => mutant.tests.filter((test) => test.startsWith('e2e/') === is))
        for (const [kind, tests] of [
          ['tests beside the code', units ?? []],
          ['processes', processes ?? []],
        ] as const) {
          const by = noticed.length > 0 || tests.length === 0 ? undefined : await failing(tests, mutant.pattern)
          if (by !== undefined) noticed.push({ kind, by })
        }
        const by = isRun(mutant) ? await broken() : undefined
        if (by !== undefined) noticed.push({ kind: 'simulator', by })
        if (values.chaos && (noticed.length === 0 || values.only.length > 0)) {
          await compilePages(copy)
          const violated = await run(['e2e/chaos/main.ts', '--minutes', values.minutes], () => false)
          if (violated !== 0) noticed.push({ kind: 'chaos', by: `npm run chaos ends with ${violated}` })
        }
      } finally {
        for (const [file, text] of sound) await writeFile(path.join(copy, file), text)
        if (values.chaos) await compilePages(copy)
      }
      return noticed
    },
  }
}
