import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createVoter, startCluster } from './support/cluster.ts'

const POLL = {
  poll: 'cats-or-dogs',
  question: 'Cats or dogs?',
  options: [
    { id: 'cats', label: 'Cats' },
    { id: 'dogs', label: 'Dogs' },
  ],
}

test('votes and reads go to the other backend when one hangs, and each vote counts once', async (t) => {
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
  assert.ok(first.tookMs < 4_000, `the slowest took ${first.tookMs} ms`)
  const next = await answers(() => [...voters.map((voter) => voter.vote(gateway.url, 'cats')), read(), read()])
  assert.deepEqual(next.statuses, [200])
  assert.ok(next.tookMs < 2_000, `once it is known which one hangs, the slowest took ${next.tookMs} ms`)

  // the votes it was given while it hung are older than those that were cast since
  hung.child.send('SIGCONT')
  await hung.child.answers(`${hung.url}/ready`)
  await hung.child.stop()
  const { tally } = (await (await fetch(`${other.url}/api/polls/cats-or-dogs`)).json()) as { tally: { counts: object } }
  assert.deepEqual(tally.counts, { cats: 20, dogs: 0 })
})
