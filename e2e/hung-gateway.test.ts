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
/** Longer than what a process takes for a halt. */
const HALT_MS = 2_500

test('votes that were given up while their gateway hung do not replace later ones when it goes on', async (t) => {
  const cluster = await startCluster({ gateways: 2 })
  t.after(() => cluster[Symbol.asyncDispose]())
  const [hung, other] = cluster.gateways
  assert.ok(hung !== undefined && other !== undefined)
  await cluster.admin('POST', '/api/polls', POLL)
  const voters = await Promise.all(Array.from({ length: 20 }, () => createVoter(other.url, 'cats-or-dogs')))

  hung.child.send('SIGSTOP')
  const given = voters.map(({ cookie }) =>
    fetch(`${hung.url}/api/polls/cats-or-dogs/vote`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', cookie },
      body: JSON.stringify({ option: 'cats' }),
      signal: AbortSignal.timeout(HALT_MS),
    }),
  )
  assert.ok((await Promise.allSettled(given)).every(({ status }) => status === 'rejected'))
  for (const voter of voters) assert.equal((await voter.vote(other.url, 'dogs')).status, 200)

  hung.child.send('SIGCONT')
  await hung.child.answers(`${hung.url}/ready`)
  await hung.child.stop()
  const { tally } = (await (await fetch(`${other.url}/api/polls/cats-or-dogs`)).json()) as { tally: { counts: object } }
  assert.deepEqual(tally.counts, { cats: 0, dogs: 20 })
})
