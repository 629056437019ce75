import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startChild } from './child.ts'
import { freePort } from './free-port.ts'
import { testUrl } from './test-url.ts'

const ENTRY = 'e2e/support/run-tests.ts'
// a test that prints where its services are and never ends; it ends its own child only when it gets a signal
const HANGING = `
import { spawn } from 'node:child_process'
import { test } from 'node:test'
test('hangs', () => {
  const child = spawn('sleep', ['1000'])
  const { TEST_REDIS_URL, TEST_DATABASE_URL } = process.env
  console.log(JSON.stringify({ msg: 'hanging', pids: [process.pid, child.pid], urls: [TEST_REDIS_URL, TEST_DATABASE_URL] }))
  return new Promise(() => setInterval(() => {}, 1000))
})
`
let cwd: string

before(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'livetally-runner-'))
  await chmod(cwd, 0o755) // the servers put their directories in it, and run as another user when the tests run as root
  await writeFile(join(cwd, 'hanging.test.ts'), HANGING)
  await writeFile(join(cwd, 'passing.test.ts'), `import { test } from 'node:test'\ntest('passes', () => {})\n`)
  await writeFile(
    join(cwd, 'failing.test.ts'),
    `import { test } from 'node:test'\ntest('fails', () => { throw new Error('no') })\n`,
  )
})
after(() => rm(cwd, { recursive: true }))

const given = () => ({ REDIS_URL: testUrl('TEST_REDIS_URL'), DATABASE_URL: testUrl('TEST_DATABASE_URL') })

for (const [file, code] of [
  ['passing', 0],
  ['failing', 1],
] as const) {
  test(`${file} tests end the run with ${code}, on the services it is given`, async () => {
    await using runner = startChild({ entry: ENTRY, args: ['--only', `${file}*`], env: given(), cwd })
    assert.equal((await runner.exited).code, code)
    assert.match(runner.stderr, /Redis: REDIS_URL\nPostgres: DATABASE_URL/)
  })
}

for (const signal of ['SIGTERM', 'SIGINT', 'SIGKILL'] as const) {
  test(`after ${signal} nothing that the run started is left`, async () => {
    await using runner = startChild({ entry: ENTRY, args: ['hanging'], cwd, env: { TMPDIR: cwd } })
    // the line that the hanging test prints, whose further fields the type of a log line does not know
    const { pids, urls } = (await runner.logged(({ msg }) => msg === 'hanging', { timeoutMs: 60_000 })) as unknown as Hanging
    for (const url of urls) assert.equal(await accepts(url), true)
    const { code } = await runner.stop(signal)
    assert.equal(code, { SIGTERM: 143, SIGINT: 130, SIGKILL: null }[signal])
    // only a run that is killed leaves the cleaning to its guard
    if (signal !== 'SIGKILL') assert.deepEqual(await listening(urls), [])
    const left = async () => [...pids.filter(alive), ...(await listening(urls))]
    const deadline = performance.now() + 10_000
    while ((await left()).length > 0 && performance.now() < deadline) await delay(50)
    assert.deepEqual(await left(), [])
  })
}

test('a service that is given and not there fails the run in one line', async () => {
  const nowhere = `127.0.0.1:${await freePort()}`
  for (const env of [
    { ...given(), REDIS_URL: `redis://${nowhere}` },
    { ...given(), DATABASE_URL: `postgres://postgres@${nowhere}/postgres` },
  ]) {
    await using runner = startChild({ entry: ENTRY, args: ['passing'], env, cwd })
    assert.equal((await runner.exited).code, 1)
    assert.match(runner.stderr, /^(REDIS|DATABASE)_URL is set, and .*ECONNREFUSED.*\n$/)
  }
})

test('a pattern that names no test fails the run', async () => {
  await using runner = startChild({ entry: ENTRY, args: ['nothing/here'], env: given(), cwd })
  assert.equal((await runner.exited).code, 1)
  assert.equal(runner.stderr, 'no test file is named nothing/here\n')
})

interface Hanging {
  readonly pids: readonly number[]
  readonly urls: readonly string[]
}

/** Whether the process runs. One that has ended and that its new parent has not reaped yet (state Z) does not. */
function alive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    // without /proc a process that has ended counts as alive until it is reaped
    return !existsSync('/proc/self/stat') || !/\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

async function listening(urls: readonly string[]): Promise<string[]> {
  const answers = await Promise.all(urls.map(async (url) => ((await accepts(url)) ? [url] : [])))
  return answers.flat()
}

async function accepts(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}
