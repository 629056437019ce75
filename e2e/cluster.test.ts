import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createVoter, startCluster } from './support/cluster.ts'
import { watch } from './support/watcher.ts'

const POLL = {
  poll: 'cats-or-dogs',
  question: 'Cats or dogs?',
  options: [
    { id: 'cats', label: 'Cats' },
    { id: 'dogs', label: 'Dogs' },
  ],
}

test('a vote through one gateway is seen once, in order, on sockets at both', async (t) => {
  const cluster = await startCluster({ gateways: 2, backends: 2 })
  t.after(() => cluster[Symbol.asyncDispose]())
  const [here, there] = cluster.gateways
  assert.ok(here !== undefined && there !== undefined)
  assert.equal((await cluster.admin('POST', '/api/polls', POLL)).status, 201)

  const watchers = await Promise.all([here, here, there, there].map(({ url }) => watch(url, ['cats-or-dogs'])))
  const first = await watchers[0]?.until((frame) => frame.type === 'tally')
  assert.ok(first?.type === 'tally')
  assert.deepEqual(first.counts, { cats: 0, dogs: 0 })
  assert.equal(watchers[0]?.frames[0]?.type, 'poll', 'the definition comes before the tally')

  const options = ['cats', 'dogs', 'dogs', 'cats', 'dogs', 'dogs', 'dogs', 'cats']
  for (const [index, option] of options.entries()) {
    const voter = await createVoter(here.url, 'cats-or-dogs')
    assert.equal((await voter.vote(here.url, option)).status, 200)
    // the next vote only once this one has been seen everywhere: faster ones may share a version
    await Promise.all(watchers.map((watcher) => watcher.until((frame) => frame.type === 'tally' && frame.total === index + 1)))
  }
  for (const watcher of watchers) {
    assert.deepEqual(
      watcher.tallies.map(({ version, total }) => [version, total]),
      [0, ...options.map((_, index) => index + 1)].map((total): [number, number] => [first.version + total, total]),
    )
    assert.deepEqual(watcher.tallies.at(-1)?.counts, { cats: 3, dogs: 5 })
    watcher.close()
  }
})

test('closing a poll is seen at once, and a socket may follow several polls', async (t) => {
  const cluster = await startCluster()
  t.after(() => cluster[Symbol.asyncDispose]())
  const url = cluster.gateways[0]?.url ?? ''
  await cluster.admin('POST', '/api/polls', POLL)
  await cluster.admin('POST', '/api/polls', { ...POLL, poll: 'tea-or-coffee' })
  const watcher = await watch(url, ['cats-or-dogs', 'tea-or-coffee'])
  await watcher.until((frame) => frame.type === 'tally' && frame.poll === 'tea-or-coffee')
  assert.equal((await cluster.admin('PATCH', '/api/polls/tea-or-coffee', { state: 'closed' })).status, 200)
  await watcher.until((frame) => frame.type === 'poll' && frame.poll === 'tea-or-coffee' && frame.state === 'closed')
  watcher.close()
})

test('a backend killed in mid-load loses no acknowledged vote', async (t) => {
  const cluster = await startCluster({ gateways: 2, backends: 2 })
  t.after(() => cluster[Symbol.asyncDispose]())
  const urls = cluster.gateways.map(({ url }) => url)
  const [victim, survivor] = cluster.backends
  assert.ok(victim !== undefined && survivor !== undefined)
  await cluster.admin('POST', '/api/polls', POLL)
  const voters = await Promise.all(Array.from({ length: 150 }, (_, index) => createVoter(urls[index % 2] ?? '', 'cats-or-dogs')))

  let acknowledged = 0
  const killed = Promise.withResolvers<void>()
  const statuses = await Promise.all(
    voters.map(async (voter, index) => {
      if (index >= 50) await killed.promise // a hundred votes arrive while the death is still news
      const { status } = await voter.vote(urls[index % 2] ?? '', index % 3 === 0 ? 'dogs' : 'cats')
      if (status === 200) acknowledged += 1
      if (acknowledged === 10) {
        victim.child.send('SIGKILL')
        killed.resolve()
      }
      return status
    }),
  )
  assert.equal((await victim.child.exited).signal, 'SIGKILL')
  // the gateways try again at the other backend, so that nobody even notices
  assert.deepEqual(new Set(statuses), new Set([200]))

  const watcher = await watch(urls[0] ?? '', ['cats-or-dogs'])
  const tally = await watcher.until((frame) => frame.type === 'tally' && frame.total === 150)
  assert.deepEqual(tally.type === 'tally' && tally.counts, { cats: 100, dogs: 50 })
  watcher.close()
})
