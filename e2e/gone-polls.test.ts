import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTallyClient, type GoneFrame, type PollFrame, type TallyFrame } from '../gateway/web/client/tally-client.ts'
import { createVoter, startCluster } from './support/cluster.ts'
import { watch } from './support/watcher.ts'

const draft = (poll: string) => ({
  poll,
  question: `${poll}?`,
  options: [
    { id: 'yes', label: 'Yes' },
    { id: 'no', label: 'No' },
  ],
})

test('a poll that there is not, and one that is removed, end alone on a page; an older page ends as a whole', async (t) => {
  const cluster = await startCluster()
  t.after(() => cluster[Symbol.asyncDispose]())
  const url = cluster.gateways[0]?.url ?? ''
  for (const poll of ['stays', 'leaves']) assert.equal((await cluster.admin('POST', '/api/polls', draft(poll))).status, 201)

  const client = createTallyClient({ url: `${url}/ws` })
  t.after(() => client.close())
  const gone = new Map<string, PromiseWithResolvers<GoneFrame>>()
  const heard = (matches: (tally: TallyFrame, poll: PollFrame) => boolean) =>
    new Promise<PollFrame>((resolve) =>
      client.subscribe('stays', (tally, poll) => {
        if (matches(tally, poll)) resolve(poll)
      }),
    )
  for (const poll of ['', 'leaves', 'ghosts']) {
    const told = Promise.withResolvers<GoneFrame>()
    gone.set(poll, told)
    client.subscribe(poll, () => {}, { onGone: told.resolve })
  }
  const first = await heard(() => true)
  for (const name of ['', 'ghosts']) assert.equal((await gone.get(name)?.promise)?.code, 4404)
  const older = await watch(url, ['stays', 'leaves'])

  const removed = await cluster.admin('DELETE', '/api/polls/leaves', undefined)
  assert.ok(removed.ok, String(removed.status))
  assert.equal((await gone.get('leaves')?.promise)?.code, 4404)
  assert.equal((await older.closed).code, 4404)
  assert.equal(client.status.state, 'live')

  const voter = await createVoter(url, 'stays')
  assert.equal((await voter.vote(url, 'yes')).status, 200)
  await heard(({ total }) => total === 1)
  assert.equal((await cluster.admin('PATCH', '/api/polls/stays', { state: 'closed' })).status, 200)
  const closed = await heard((_, { state }) => state === 'closed')
  assert.deepEqual([first.epoch, closed.epoch], [1, 1])
  assert.ok((closed.version ?? 0) > (first.version ?? 0), 'the definition says that it is the newer one')

  // a poll of the same name is asked for again
  assert.equal((await cluster.admin('POST', '/api/polls', draft('leaves'))).status, 201)
  const again = await new Promise<TallyFrame>((resolve) =>
    client.subscribe('leaves', (tally) => {
      if (tally.epoch > 1) resolve(tally)
    }),
  )
  assert.equal(again.epoch, 2)
})
