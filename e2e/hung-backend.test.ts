import assert from 'node:assert/strict'
import { test } from 'node:test'
import { calibrate } from './support/calibration.ts'
import { createVoter, startCluster } from './support/cluster.ts'
import { freePort } from './support/free-port.ts'

const POLL = {
  poll: 'cats-or-dogs',
  question: 'Cats or dogs?',
  options: [
    { id: 'cats', label: 'Cats' },
    { id: 'dogs', label: 'Dogs' },
  ],
}

test('votes and reads go to the other backend when one hangs, and each vote counts once', async (t) => {
  const { slowness } = await calibrate()
  const cluster = await startCluster({ backends: 2 })
  t.after(() => cluster[Symbol.asyncDispose]())
  const [gateway] = cluster.gateways
  const [hung, other] = cluster.backends
  assert.ok(gateway !== undefined && hung !== undefined && other !== undefined)
  await cluster.admin('POST', '/api/polls', POLL)
  const voters = await Promise.all(Array.from({ length: 20 }, () => createVoter(gateway.url, 'cats-or-dogs')))
  for (const voter of voters) assert.equal((await voter.vote(gateway.url, 'cats')).status, 200)

  /** Each answer's status, and how long the slowest took, in ms. */
  const answers = async (ask: () => readonly Promise<Response>[]) => {
    const startedAt = performance.now()
    const statuses = (await Promise.all(ask())).map(({ status }) => status)
    return { statuses: [...new Set(statuses)], tookMs: performance.now() - startedAt }
  }
  const read = () => fetch(`${gateway.url}/api/polls/cats-or-dogs/history`)
  hung.child.send('SIGSTOP')
  const first = await answers(() => [...voters.map((voter) => voter.vote(gateway.url, 'dogs')), read(), read()])
  assert.deepEqual(first.statuses, [200])
  assert.ok(first.tookMs < 3_000 + 1_000 * slowness, `the slowest took ${first.tookMs} ms`)
  const next = await answers(() => [...voters.map((voter) => voter.vote(gateway.url, 'cats')), read(), read()])
  assert.deepEqual(next.statuses, [200])
  assert.ok(next.tookMs < 1_000 * slowness, `once it is known which one hangs, the slowest took ${next.tookMs} ms`)

  // the votes it was given while it hung are older than those that were cast since
  hung.child.send('SIGCONT')
  await hung.child.answers(`${hung.url}/ready`)
  await hung.child.stop()
  const { tally } = (await (await fetch(`${other.url}/api/polls/cats-or-dogs`)).json()) as { tally: { counts: object } }
  assert.deepEqual(tally.counts, { cats: 20, dogs: 0 })
})

test('votes that were tried elsewhere do not come back after a reset, when the backend that hung goes on', async (t) => {
  const cluster = await startCluster({ backends: 2 })
  t.after(() => cluster[Symbol.asyncDispose]())
  const [gateway] = cluster.gateways
  const [hung, other] = cluster.backends
  assert.ok(gateway !== undefined && hung !== undefined && other !== undefined)
  await cluster.admin('POST', '/api/polls', POLL)
  const voters = await Promise.all(Array.from({ length: 10 }, () => createVoter(gateway.url, 'cats-or-dogs')))
  hung.child.send('SIGSTOP')
  const answers = await Promise.all(voters.map((voter) => voter.vote(gateway.url, 'cats')))
  assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
  assert.equal((await cluster.admin('POST', '/api/polls/cats-or-dogs/reset', undefined)).status, 200)

  hung.child.send('SIGCONT')
  await hung.child.answers(`${hung.url}/ready`)
  // before it ends it casts what it has taken
  await hung.child.stop()
  const { tally } = (await (await fetch(`${other.url}/api/polls/cats-or-dogs`)).json()) as { tally: { counts: object } }
  assert.deepEqual(tally.counts, { cats: 0, dogs: 0 })
})

test('no vote is refused while two backends are replaced in turn', async (t) => {
  const ports = [await freePort(), await freePort()]
  const cluster = await startCluster({ backends: 0, gateways: 0 })
  t.after(() => cluster[Symbol.asyncDispose]())
  for (const port of ports) await cluster.startBackend({ PORT: String(port) })
  const gateway = await cluster.startGateway()
  await cluster.admin('POST', '/api/polls', POLL)

  const replaced = new AbortController()
  const refusals: string[] = []
  let votes = 0
  const keepVoting = async () => {
    const voter = await createVoter(gateway.url, 'cats-or-dogs')
    for (let turn = 0; !replaced.signal.aborted; turn += 1) {
      const answer = await voter.vote(gateway.url, turn % 2 === 0 ? 'cats' : 'dogs')
      const said = await answer.text()
      if (answer.status !== 200) refusals.push(`${answer.status} ${said}`)
      votes += 1
    }
  }
  const voting = Array.from({ length: 30 }, keepVoting)
  for (const [index, port] of [...ports, ...ports].entries()) {
    const leaving = cluster.backends[index]
    assert.equal((await leaving?.child.stop())?.code, 0)
    await cluster.startBackend({ PORT: String(port) })
  }
  replaced.abort()
  await Promise.all(voting)
  assert.deepEqual(refusals, [])
  t.diagnostic(`${votes} votes`)
})
