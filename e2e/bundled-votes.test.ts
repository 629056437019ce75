import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BundledAnswer, BundledVote } from '../shared/protocol/vote-bundle.ts'
import { createVoter, startCluster } from './support/cluster.ts'

const POLL = {
  poll: 'cats-or-dogs',
  question: 'Cats or dogs?',
  options: [
    { id: 'cats', label: 'Cats' },
    { id: 'dogs', label: 'Dogs' },
  ],
}

/** An answer without the order that the backend gave the vote, which is another one each time. */
function withoutStamp(answer: unknown) {
  const { order, ...rest } = answer as { readonly order?: number }
  return { ...rest, order: order !== undefined && order > 1_000 ? 'a stamp' : order }
}

test('a vote in a bundle is answered as if it had come alone', async (t) => {
  const cluster = await startCluster()
  t.after(() => cluster[Symbol.asyncDispose]())
  const gateway = cluster.gateways[0]?.url ?? ''
  const backend = cluster.backends[0]?.url ?? ''
  await cluster.admin('POST', '/api/polls', POLL)
  await cluster.admin('POST', '/api/polls', { ...POLL, poll: 'closed' })
  await cluster.admin('PATCH', '/api/polls/closed', { state: 'closed' })
  await cluster.admin('POST', '/api/polls', { ...POLL, poll: 'final', changeAllowed: false })
  await cluster.admin('POST', '/api/polls', { ...POLL, poll: 'by-ticket', policy: 'ticket' })
  const voters = await Promise.all(Array.from({ length: 3 }, () => createVoter(gateway, POLL.poll)))
  const [cookie = '', another = '', third = ''] = voters.map((voter) => voter.cookie)
  const json = '{"option":"cats"}'
  const votes: Omit<BundledVote, 'requestId'>[] = [
    { poll: POLL.poll, body: json, cookie, isSecure: false },
    { poll: POLL.poll, body: '{"option":"dogs"}', cookie: another, isSecure: false },
    { poll: POLL.poll, body: '{"option":"birds"}', cookie, isSecure: false },
    { poll: POLL.poll, body: '{"option":7}', cookie, isSecure: false },
    { poll: POLL.poll, body: '{"option":"cats","order":9000000000000000}', cookie, isSecure: false },
    { poll: POLL.poll, body: '{"option":"cats","order":1.5}', cookie, isSecure: false },
    { poll: POLL.poll, body: '{"option":"cats","order":7}', cookie: third, isSecure: false },
    { poll: POLL.poll, body: '{"option":"dogs","order":6}', cookie: third, isSecure: false },
    { poll: POLL.poll, body: '{"option":"cats","more":1}', cookie, isSecure: false },
    { poll: POLL.poll, body: '{"option":', cookie, isSecure: false },
    { poll: POLL.poll, body: json, isSecure: false },
    { poll: POLL.poll, body: json, isSecure: true },
    { poll: POLL.poll, body: json, cookie: 'voter=made-up.signature', isSecure: false },
    { poll: POLL.poll, body: json, cookie: `${cookie.slice(0, -6)}AAAA%3D`, isSecure: false },
    { poll: POLL.poll, body: json, cookie: `other=1; ${cookie}`, isSecure: false },
    { poll: 'nobody-knows', body: json, cookie, isSecure: false },
    { poll: 'closed', body: json, cookie, isSecure: false },
    { poll: 'final', body: json, cookie, isSecure: false },
    { poll: 'final', body: '{"option":"dogs"}', cookie, isSecure: false },
    { poll: 'by-ticket', body: json, cookie, isSecure: false },
    { poll: 'by-ticket', body: json, ticket: 'made-up', isSecure: false },
  ]
  // twice, so that who comes first makes no difference
  for (let round = 0; round < 2; round += 1) {
    const together = await fetch(`${backend}/votes`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(votes.map((vote) => ({ ...vote, requestId: 'r' }))),
    })
    const answers = (await together.json()) as BundledAnswer[]
    assert.equal(answers.length, votes.length)
    for (const [index, { poll, body, cookie: sent, ticket, isSecure }] of votes.entries()) {
      const alone = await fetch(`${backend}/api/polls/${poll}/vote`, {
        method: 'PUT',
        headers: {
          'content-type': 'application/json',
          ...(sent === undefined ? {} : { cookie: sent }),
          ...(ticket === undefined ? {} : { 'livetally-ticket': ticket }),
          ...(isSecure ? { 'x-forwarded-proto': 'https' } : {}),
        },
        body,
      })
      const said = `${JSON.stringify(votes[index])} → ${JSON.stringify(answers[index])}`
      assert.equal(answers[index]?.status, alone.status, said)
      assert.deepEqual(withoutStamp(JSON.parse(answers[index]?.body ?? '')), withoutStamp(await alone.json()), said)
      for (const name of ['content-type', 'cache-control', 'retry-after']) {
        assert.equal(answers[index]?.headers[name] ?? null, alone.headers.get(name), `${name} of ${said}`)
      }
      const cookieOf = (header: string | null | undefined) => header?.split('=', 1)[0]
      assert.equal(cookieOf(answers[index]?.headers['set-cookie']), cookieOf(alone.headers.get('set-cookie')), said)
    }
  }
})

test('what is no bundle is refused as a whole, with what is wrong', async (t) => {
  const cluster = await startCluster({ gateways: 0 })
  t.after(() => cluster[Symbol.asyncDispose]())
  const backend = cluster.backends[0]?.url ?? ''
  const headers = { 'content-type': 'application/json' }
  const vote = { poll: POLL.poll, body: '{}', isSecure: false, requestId: 'r' }
  for (const [body, status] of [
    ['{', 400],
    ['{}', 400],
    [JSON.stringify([{ ...vote, poll: 'No Poll' }]), 400],
    [JSON.stringify(Array.from({ length: 501 }, () => vote)), 400],
    [JSON.stringify([{ ...vote, cookie: 'x'.repeat(4_200_000) }]), 413],
  ] as const) {
    const answer = await fetch(`${backend}/votes`, { method: 'PUT', headers, body })
    assert.equal(answer.status, status, body.slice(0, 80))
    assert.match(((await answer.json()) as { type: string }).type, status === 400 ? /bad-body/ : /too-large/)
  }
})

test('a crowd that votes at once is counted to the last vote, and the gateway passes no bundle of anybody else', async (t) => {
  const cluster = await startCluster()
  t.after(() => cluster[Symbol.asyncDispose]())
  const url = cluster.gateways[0]?.url ?? ''
  await cluster.admin('POST', '/api/polls', POLL)
  const voters = await Promise.all(Array.from({ length: 200 }, () => createVoter(url, POLL.poll)))
  const statuses = await Promise.all(voters.map(async (voter) => (await voter.vote(url, 'dogs')).status))
  assert.deepEqual(new Set(statuses), new Set([200]))
  const { tally } = (await (await fetch(`${url}/api/polls/${POLL.poll}`)).json()) as { tally: { counts: object } }
  assert.deepEqual(tally.counts, { cats: 0, dogs: 200 })
  assert.equal((await fetch(`${url}/votes`, { method: 'PUT', body: '[]' })).status, 404)
})
