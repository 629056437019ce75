import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { request, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import { startChild, type Child } from './support/child.ts'
import { calibrate } from './support/calibration.ts'
import { createVoter } from './support/cluster.ts'
import { freePort } from './support/free-port.ts'
import { watch } from './support/watcher.ts'

const { slowness } = await calibrate()

interface Home {
  readonly dataDir: string
  readonly url: string
  start(...args: string[]): Promise<Child>
}

/** A data directory and a port of the test's own, and whatever is started there. */
async function home(t: TestContext): Promise<Home> {
  const dataDir = mkdtempSync(join(tmpdir(), 'livetally-'))
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const children: Child[] = []
  t.after(async () => {
    await Promise.all(children.map((child) => child[Symbol.asyncDispose]()))
    rmSync(dataDir, { recursive: true, force: true })
  })
  return {
    dataDir,
    url,
    async start(...args) {
      const env = { DATA_DIR: dataDir, PORT: String(port), LOG_LEVEL: 'info' }
      const child = startChild({ entry: 'infra/standalone/main.ts', args, env })
      children.push(child)
      await child.answers(`${url}/ready`)
      return child
    },
  }
}

/** The status of the answer to a request that `fetch` would not send. */
async function statusOf(url: string, method: string, body?: string): Promise<number | undefined> {
  const headers = body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }
  const sent = request(url, { method, headers }).end(body)
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  response.resume()
  return response.statusCode
}

describe('everything in one process', () => {
  test('a request to read that brings a body is answered without it, and TRACE is not taken', async (t) => {
    const { url, start } = await home(t)
    await start()
    assert.equal(await statusOf(`${url}/api/polls`, 'GET', '{}'), 200)
    assert.equal(await statusOf(`${url}/api/polls/cats-or-dogs/tickets`, 'GET', '{"count":1}'), 405)
    assert.equal(await statusOf(`${url}/api/polls`, 'TRACE'), 405)
  })

  test('shows a vote in one browser to another at once, keeps it over a restart, and leaves within a second', async (t) => {
    const { url, start } = await home(t)
    const first = await start()
    assert.ok(
      first.lines.some((line) => line.includes(url)),
      'it prints where it is',
    )

    const watcher = await watch(url, ['cats-or-dogs'])
    await watcher.until((frame) => frame.type === 'tally' && frame.total === 0)
    const voter = await createVoter(url, 'cats-or-dogs')
    assert.equal((await voter.vote(url, 'dogs')).status, 200)
    const tally = await watcher.until((frame) => frame.type === 'tally' && frame.total === 1)
    assert.deepEqual(tally.type === 'tally' && tally.counts, { cats: 0, dogs: 1 })

    const exit = await first.stop('SIGINT')
    assert.equal(exit.code, 0)
    assert.ok(exit.tookMs < 1_000 * slowness, `took ${exit.tookMs} ms`)
    assert.equal((await watcher.closed).code, 1012)

    await start()
    const standing = (await (await fetch(`${url}/api/polls/cats-or-dogs`, { headers: { cookie: voter.cookie } })).json()) as {
      tally: { counts: object }
      ballot: { option: string }
    }
    assert.deepEqual(standing.tally.counts, { cats: 0, dogs: 1 })
    assert.equal(standing.ballot.option, 'dogs', 'the same browser is known again')
  })

  test('keeps every acknowledged vote when it is killed', async (t) => {
    const { url, start } = await home(t)
    const first = await start()
    const voters = await Promise.all(Array.from({ length: 20 }, () => createVoter(url, 'cats-or-dogs')))
    const answers = await Promise.all(voters.map((voter) => voter.vote(url, 'cats')))
    assert.ok(answers.every(({ status }) => status === 200))
    await first.stop('SIGKILL')
    await start()
    const standing = (await (await fetch(`${url}/api/polls/cats-or-dogs`)).json()) as { tally: { total: number } }
    assert.equal(standing.tally.total, 20)
  })

  test('moves by itself with pretend voters', async (t) => {
    const { url, start } = await home(t)
    await start('--simulate', '5')
    const watcher = await watch(url, ['cats-or-dogs'])
    await watcher.until((frame) => frame.type === 'tally' && frame.total === 5)
    watcher.close()
  })

  test('refuses a data directory that another process has open, and says which', async (t) => {
    const { dataDir, start } = await home(t)
    const first = await start()
    await using second = startChild({ entry: 'infra/standalone/main.ts', env: { DATA_DIR: dataDir, PORT: '0' } })
    assert.equal((await second.exited).code, 1)
    const said = second.logs.find(({ msg }) => msg?.startsWith('cannot start'))?.msg ?? ''
    assert.match(said, new RegExp(`${dataDir}.*${first.pid}`))
  })

  test('keeps the secrets it made up to itself', async (t) => {
    const { dataDir, start } = await home(t)
    const child = await start()
    for (const name of ['admin-token', 'cookie-secret']) assert.equal(statSync(join(dataDir, name)).mode & 0o777, 0o600)
    await child.stop('SIGINT')
  })

  test('names every wrong variable and argument, with exit code 2', async () => {
    await using wrong = startChild({ entry: 'infra/standalone/main.ts', env: { PORT: 'eighty', ALLOWED_ORIGINS: 'example.org' } })
    assert.equal((await wrong.exited).code, 2)
    assert.match(wrong.stderr, /PORT must be a whole number/)
    assert.match(wrong.stderr, /ALLOWED_ORIGINS must hold origins/)
    await using argument = startChild({ entry: 'infra/standalone/main.ts', args: ['--simulate', 'many'] })
    assert.equal((await argument.exited).code, 2)
    assert.match(argument.stderr, /--simulate must be a whole number/)
  })
})
