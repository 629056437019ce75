/**
 * Plants faults that the product does not have any more, or never had, one by one in a copy of it, and tells in how many schedules the
 * simulator finds each: `node e2e/simulator/planted.ts [--schedules N] [--only words]`. Ends with 1 when it misses one.
 */
import { spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { PLANTED, type Planted } from './planted-faults.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const { values } = parseArgs({
  options: {
    schedules: { type: 'string', default: '2000' },
    seed: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
  },
})

const copy = await mkdtemp(path.join(tmpdir(), 'planted-'))
let missed = 0
try {
  for (const part of ['gateway', 'backend', 'shared', 'package.json', 'e2e/simulator', 'e2e/chaos/random.ts']) {
    await cp(path.join(root, part), path.join(copy, part), { recursive: true })
  }
  await symlink(path.join(root, 'node_modules'), path.join(copy, 'node_modules'))
  for (const planted of PLANTED.filter(({ name }) => name.includes(values.only))) {
    const found = await find(planted)
    if (found === undefined) missed += 1
    console.log(`${found ?? `MISSED in ${values.schedules} schedules`}: ${planted.name}`)
  }
} finally {
  await rm(copy, { recursive: true })
}
process.exitCode = missed === 0 ? 0 : 1

/** Runs the simulator on the copy with this fault, and says when and how it was found. */
async function find({ file, from, to }: Planted): Promise<string | undefined> {
  const target = path.join(copy, file)
  const sound = await readFile(target, 'utf8')
  if (sound.split(from).length !== 2) throw new Error(`${file} has not exactly one place like this: ${from}`)
  await writeFile(
    target,
    sound.replace(from, () => to),
  )
  try {
    const output = await run(['--json', '--findings', '1', '--seed', values.seed, '--schedules', values.schedules])
    const { schedules, findings } = JSON.parse(output) as {
      schedules: number
      findings: { seed: number; promise: string; faults: number[] }[]
    }
    const [first] = findings
    return first && `seed ${first.seed}, in ${schedules} schedules, ${first.faults.length} faults left, "${first.promise}"`
  } finally {
    await writeFile(target, sound)
  }
}

async function run(options: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [path.join(copy, 'e2e/simulator/main.ts'), ...options], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  for await (const chunk of child.stdout) output += String(chunk)
  return output
}
