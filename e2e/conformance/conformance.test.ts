import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { promisify } from 'node:util'
import { ADMIN_TOKEN, startCluster, type Cluster } from '../support/cluster.ts'
import { type Check, runChecks } from './check.ts'
import { clientChecks } from './client-checks.ts'
import { pollFrame, startMockServer, tallyFrame } from './mock-server.ts'
import { organiserChecks } from './organiser-checks.ts'
import { serverChecks } from './server-checks.ts'

const run = promisify(execFile)

const POLL = {
  question: 'Cats or dogs?',
  options: [
    { id: 'cats', label: 'Cats' },
    { id: 'dogs', label: 'Dogs' },
  ],
}

/** Runs the checks that take less than ten seconds; resolves to the names of those that fail, with the reasons. */
async function failuresOf<S>(checks: readonly Check<S>[], subject: S): Promise<string[]> {
  const lines: string[] = []
  await runChecks(checks, subject, { slow: false, say: (line) => lines.push(line) })
  return lines.filter((line) => line.startsWith('✖')).map((line) => line.slice(2))
}

/** Those of the checks whose names begin with one of these. */
function named<S>(checks: readonly Check<S>[], ...names: readonly string[]): readonly Check<S>[] {
  return checks.filter(({ name }) => names.some((each) => name.startsWith(each)))
}

describe('a gateway', { timeout: 120_000 }, () => {
  let cluster: Cluster
  before(async () => {
    cluster = await startCluster()
    await cluster.admin('POST', '/api/polls', { ...POLL, poll: 'ours' })
  })
  after(() => cluster[Symbol.asyncDispose]())
  const url = () => (cluster.gateways[0]?.url ?? '').replace('http', 'ws')

  test('does what a server does whose polls change', async () => {
    assert.deepEqual(await failuresOf(organiserChecks, { url: url(), adminToken: ADMIN_TOKEN }), [])
  })

  test('does what a server does, until it leaves', async () => {
    const drain = async () => void process.kill(cluster.gateways[0]?.child.pid ?? 0, 'SIGTERM')
    assert.deepEqual(await failuresOf(serverChecks, { url: url(), poll: 'ours', drain }), [])
  })
})

test('a server that sends tallies first, hears clients out and knows every poll is found out', async () => {
  const server = await startMockServer((visit) => {
    for (const poll of visit.polls) {
      visit.send(tallyFrame(poll, 1))
      visit.send(pollFrame(poll))
    }
  })
  const wrong = ['it sends the poll, then its tally', 'of two polls, the one that there is not gets', 'data of a client']
  const right = ['it picks the best subprotocol', 'a ping is answered']
  const failed = await failuresOf(named(serverChecks, ...wrong, ...right), { url: server.url, poll: 'ours' })
  await server.close()
  for (const [index, name] of wrong.entries()) assert.ok(failed[index]?.startsWith(name), `${name}: ${failed.join('\n')}`)
  assert.equal(failed.length, wrong.length)
})

describe('a client', { timeout: 180_000 }, () => {
  const failing = (command: readonly string[]) => failuresOf(clientChecks, { command })

  test('of ours does what a client does', async () => {
    assert.deepEqual(await failing([process.execPath, 'e2e/conformance/sdk-client.ts']), [])
  })

  test('in Python does what a client does', async (t) => {
    const python = await firstThatRuns(['/usr/bin/python3', 'python3'])
    if (python === undefined) return t.skip('there is no Python with the package websockets')
    assert.deepEqual(await failing([python, 'docs/examples/client.py']), [])
  })

  test('in Go does what a client does', async (t) => {
    const directory = await mkdtemp(join(tmpdir(), 'livetally-go-'))
    t.after(() => rm(directory, { recursive: true, force: true }))
    const program = join(directory, 'client')
    const env = { ...process.env, GO111MODULE: 'off', GOPATH: '/usr/share/gocode' }
    const isBuilt = await run('go', ['build', '-o', program, 'docs/examples/client.go'], { env, timeout: 120_000 }).then(
      () => true,
      () => false,
    )
    if (!isBuilt) return t.skip('there is no Go with the package github.com/gorilla/websocket')
    assert.deepEqual(await failing([program]), [])
  })

  test('that shows what comes, and comes back at once and for good, is found out', async () => {
    const naive = `
      const url = process.argv[1]
      const open = () => {
        const socket = new WebSocket(url, ['livetally.v1'])
        socket.onmessage = ({ data }) => {
          const { type, poll, epoch, version, total } = JSON.parse(data)
          if (type === 'tally') console.log('tally', poll, epoch, version, total)
          if (type === 'drain') socket.close(1000)
        }
        socket.onclose = () => setTimeout(open, 50)
      }
      open()`
    const wrong = ['it passes over older tallies', 'told to drain']
    const command = [process.execPath, '--input-type=module', '--eval', naive, '--']
    const failed = await failuresOf(named(clientChecks, 'it shows the first tally', ...wrong), { command })
    for (const [index, name] of wrong.entries()) assert.ok(failed[index]?.startsWith(name), `${name}: ${failed.join('\n')}`)
    assert.equal(failed.length, wrong.length)
  })
})

/** The first of the programs that has the package websockets. */
async function firstThatRuns(programs: readonly string[]): Promise<string | undefined> {
  for (const program of programs) {
    const found = await run(program, ['-c', 'import websockets, asyncio; asyncio.TaskGroup']).then(
      () => true,
      () => false,
    )
    if (found) return program
  }
  return undefined
}
