/**
 * Runs the tests against a real Redis and a real Postgres, which it finds, starts or installs, and stops again.
 *
 *   npm test                                  all of them
 *   npm test -- backend/ballots shared        those whose paths begin so; globs work too
 *   npm test -- --long e2e/failover           the long ones (*.long.ts) as well
 *   npm test -- --test-name-pattern=drain     further options go to node --test
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { constants } from 'node:os'
import { createGuard } from './guard.ts'
import { provideServices, ServiceMissingError, type Service } from './services.ts'
import { selected, testFiles } from './test-files.ts'

const ROOT = process.cwd() // where npm runs its scripts: the project's root
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const
/** How long a test may take to end its own processes after a signal. */
const LEAVE_TIMEOUT_MS = 10_000

/** Two tests at a time, for machines with two cores; a test that hangs fails after the timeout, unless it sets a longer one. */
const DEFAULTS = ['--test-concurrency=2', '--test-timeout=180000']

/** Tests that need the whole machine for what they measure run one after the other, once the rest is done. */
const ALONE = '.alone.test.ts'

/** Asks for the tests that take minutes as well. */
const LONG = '--long'

const started: Service[] = []
const leaving = new AbortController()
let leaveSignal: NodeJS.Signals | undefined
for (const signal of SIGNALS) {
  process.on(signal, () => {
    leaveSignal ??= signal
    leaving.abort()
  })
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof ServiceMissingError)) throw error
  console.error(error.message)
  process.exitCode = 1
} finally {
  await Promise.all(started.map((service) => service.stop()))
}

async function main(args: readonly string[]): Promise<number> {
  const options = args.filter((arg) => arg.startsWith('--') && arg !== '--only' && arg !== LONG)
  const patterns = args.filter((arg) => !arg.startsWith('--'))
  const files = selected(await testFiles(ROOT, { long: args.includes(LONG) }), patterns)
  if (files.length === 0) {
    console.error(patterns.length === 0 ? 'there are no tests' : `no test file is named ${patterns.join(' or ')}`)
    return 1
  }
  const { redis, postgres } = await provideServices(process.env, (service) => started.push(service))
  console.error(`Redis: ${redis.origin}\nPostgres: ${postgres.origin}`)
  const env = { TEST_REDIS_URL: redis.url, TEST_DATABASE_URL: postgres.url }
  const alone = files.filter((file) => file.endsWith(ALONE))
  const together = files.filter((file) => !file.endsWith(ALONE))
  let code = 0
  if (together.length > 0) code = await runTests([...DEFAULTS, ...options, ...together], env)
  if (alone.length > 0) code = (await runTests([...DEFAULTS, '--test-concurrency=1', ...options, ...alone], env)) || code
  return code
}

async function runTests(args: readonly string[], env: Record<string, string>): Promise<number> {
  if (leaveSignal !== undefined) return 128 + constants.signals[leaveSignal]
  const tests = spawn(process.execPath, ['--test', ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: 'inherit',
    // a process group of its own, so that signals reach whatever the tests started as well
    detached: true,
  })
  const group = tests.pid === undefined ? undefined : -tests.pid
  // if this process is killed, the guard ends the group
  const guard = createGuard(['true'])
  guard.watch(group)
  const tell = (signal: NodeJS.Signals) => {
    try {
      if (group !== undefined) process.kill(group, signal)
    } catch {
      // the group has ended already
    }
  }
  leaving.signal.addEventListener('abort', () => {
    tell(leaveSignal ?? 'SIGTERM')
    setTimeout(() => tell('SIGKILL'), LEAVE_TIMEOUT_MS).unref()
  })
  const [code] = (await once(tests, 'exit')) as [number | null, NodeJS.Signals | null]
  guard.release()
  if (leaveSignal === undefined) return code ?? 1
  tell('SIGKILL')
  return 128 + constants.signals[leaveSignal]
}
