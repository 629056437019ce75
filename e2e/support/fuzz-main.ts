/**
 * `npm run fuzz`: the fuzz tests of `npm test` with many times as many cases, a hundred thousand and more together.
 *
 *   npm run fuzz -- --times 20 --seed 7
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { SEED_VARIABLE, TIMES_VARIABLE } from './fuzz.ts'

const FUZZ_TESTS = ['e2e/hostile-bytes', 'e2e/openapi', 'e2e/vote-order', 'gateway/handshake/upgrade-request']

const { values } = parseArgs({ options: { times: { type: 'string', default: '20' }, seed: { type: 'string' } } })
for (const [name, value] of Object.entries(values)) {
  if (/^-?[0-9]{1,10}$/.test(value)) continue
  process.stderr.write(`--${name} is a whole number, not ${value}\n`)
  process.exit(2)
}
const tests = spawn(
  process.execPath,
  ['e2e/support/run-tests.ts', '--test-timeout=3600000', '--test-concurrency=1', ...FUZZ_TESTS],
  {
    env: {
      ...process.env,
      [TIMES_VARIABLE]: values.times,
      ...(values.seed === undefined ? {} : { [SEED_VARIABLE]: values.seed }),
    },
    stdio: 'inherit',
  },
)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => tests.kill(signal))
const [code] = (await once(tests, 'exit')) as [number | null]
process.exitCode = code ?? 1
