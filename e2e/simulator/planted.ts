/**
 * Plants faults that the product does not have any more, or never had, one by one in a copy of it, and tells in how many schedules the
 * simulator finds each: `node e2e/simulator/planted.ts [--schedules N] [--seed N] [--only words]`. Ends with 1 when it misses one.
 */
import { spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { PLANTED, type Planted } from './planted-faults.ts'
import type { Report } from './simulate.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { values } = parseArgs({
  options: {
    schedules: { type: 'string', default: '2000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
  },
})

const left = PLANTED.filter(({ name }) => name.includes(values.only)).values()
let missed = 0
await Promise.all(
  Array.from({ length: availableParallelism() }, async () => {
    for (const planted of left) console.log(`${planted.name}: ${await find(planted)}`)
  }),
)
process.exitCode = missed === 0 ? 0 : 1

/** Runs the simulator on a copy with this fault, and says when and how it was found. */
async function find({ file, from, to }: Planted): Promise<string> {
  const copy = await mkdtemp(path.join(tmpdir(), 'planted-'))
  try {
    for (const part of ['gateway', 'backend', 'shared', 'package.json', 'e2e/simulator', 'e2e/chaos/random.ts']) {
      await cp(path.join(root, part), path.join(copy, part), { recursive: true })
    }
    await symlink(path.join(root, 'node_modules'), path.join(copy, 'node_modules'))
    const target = path.join(copy, file)
    const sound = await readFile(target, 'utf8')
    if (sound.split(from).length !== 2) throw new Error(`${file} has not exactly one place like this: ${from}`)
    await writeFile(
      target,
      sound.replace(from, () => to),
    )
    const { schedules, findings } = await simulate(path.join(copy, 'e2e/simulator/main.ts'))
    const [first] = findings
    if (first !== undefined) return `seed ${first.seed}, in ${schedules} schedules, by "${first.promise}"`
    missed += 1
    return `MISSED in ${schedules} schedules`
  } finally {
    await rm(copy, { recursive: true })
  }
}

async function simulate(main: string): Promise<Report> {
  const options = ['--json', '--workers', '1', '--findings', '1', '--seed', values.seed, '--schedules', values.schedules]
  const child = spawn(process.execPath, [main, ...options], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  for await (const chunk of child.stdout) output += String(chunk)
  return JSON.parse(output) as Report
}
