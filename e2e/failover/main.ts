/**
 * `npm run test:failover`: kills, demotes, promotes and starves the servers of the data layer, in the long scenarios (`*.long.ts`) and in
 * those of `npm test`, one after the other, and writes what they measured to bench/results/failover.md.
 *
 *   npm run test:failover                        all of them
 *   npm run test:failover -- e2e/failover/redis  those whose paths begin so; prints the table and writes nothing
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { ROWS_VARIABLE, tableOf, type Row } from './rows.ts'

const RESULT = 'bench/results/failover.md'

const selection = process.argv.slice(2)
const directory = await mkdtemp(path.join(tmpdir(), 'livetally-failover-'))
const file = path.join(directory, 'rows.jsonl')
await writeFile(file, '')

const patterns = selection.some((each) => !each.startsWith('--')) ? selection : ['e2e/failover', ...selection]
const tests = spawn(process.execPath, ['e2e/support/run-tests.ts', '--long', '--test-concurrency=1', ...patterns], {
  env: { ...process.env, [ROWS_VARIABLE]: file },
  stdio: 'inherit',
})
// the tests end by themselves when the terminal tells the whole group to
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => tests.kill(signal))
const [code] = (await once(tests, 'exit')) as [number | null]

const rows = (await readFile(file, 'utf8'))
  .split('\n')
  .filter((line) => line !== '')
  .map((line): Row => JSON.parse(line))
  .toSorted((a, b) => a.part.localeCompare(b.part))
await rm(directory, { recursive: true })

const text = `# What failures of the data layer cost

Written by \`npm run test:failover\` on ${cpus().length} cores; every row is a test with a bound.

${tableOf(rows)}
`
process.stdout.write(`\n${text}`)
if (code === 0 && selection.length === 0) await writeFile(RESULT, text)
process.exitCode = code ?? 1
