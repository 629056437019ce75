import assert from 'node:assert/strict'
import { test } from 'node:test'
import { VOTE_BUNDLE_PATH, type BundledVote } from '../shared/protocol/vote-bundle.ts'
import type { Api, ApiRequest } from './api.ts'
import { bundleVotes } from './bundle-votes.ts'

const vote = (voter: string, more: Partial<ApiRequest> = {}): ApiRequest => ({
  method: 'PUT',
  target: '/api/polls/tea/vote',
  headers: { 'content-type': 'application/json', cookie: `voter=${voter}`, 'x-request-id': `request-${voter}` },
  body: Buffer.from(`{"option":"${voter}"}`),
  ...more,
})

/** A bundler in front of an API that writes down what it is asked. */
function bundlerFor(answer: (request: ApiRequest) => Response) {
  const asked: ApiRequest[] = []
  const turns: (() => void)[] = []
  const api: Api = async (request) => {
    asked.push(request)
    return answer(request)
  }
  const bundler = bundleVotes(api, (run) => turns.push(run))
  const endTurn = () => {
    for (const run of turns.splice(0)) run()
  }
  return { bundler, asked, endTurn }
}

const votesIn = ({ body }: ApiRequest) => JSON.parse(Buffer.from(body ?? []).toString()) as BundledVote[]

/** Answers each vote with the option it names. */
const echo = (request: ApiRequest) =>
  request.target === VOTE_BUNDLE_PATH
    ? Response.json(votesIn(request).map(({ body }) => ({ status: 200, headers: { 'content-type': 'application/json' }, body })))
    : new Response(`alone: ${request.target}`)

test('votes of one turn go together, and everyone gets the answer to their own', async () => {
  const { bundler, asked, endTurn } = bundlerFor(echo)
  const answers = ['a', 'b', 'c'].map((voter) => bundler(vote(voter)))
  assert.equal(asked.length, 0)
  endTurn()
  const told = await Promise.all(
    answers.map(async (answer) => [await (await answer).text(), (await answer).headers.get('x-request-id')]),
  )
  assert.deepEqual(
    told,
    ['a', 'b', 'c'].map((voter) => [`{"option":"${voter}"}`, `request-${voter}`]),
  )
  assert.deepEqual(
    asked.map(({ method, target }) => [method, target]),
    [['PUT', VOTE_BUNDLE_PATH]],
  )
  assert.deepEqual(
    asked.flatMap(votesIn).map(({ poll, cookie, isSecure, requestId }) => [poll, cookie, isSecure, requestId]),
    ['a', 'b', 'c'].map((voter) => ['tea', `voter=${voter}`, false, `request-${voter}`]),
  )
})

test('a vote that comes alone goes as it is', async () => {
  const { bundler, asked, endTurn } = bundlerFor(echo)
  for (const voter of ['a', 'b']) {
    const answer = bundler(vote(voter))
    endTurn()
    assert.equal(await (await answer).text(), 'alone: /api/polls/tea/vote')
  }
  assert.deepEqual(asked, [vote('a'), vote('b')])
})

test('what is no ordinary vote never shares', async () => {
  const { bundler, asked } = bundlerFor(echo)
  const others = [
    vote('a', { method: 'GET' }),
    vote('a', { target: '/api/polls/tea/vote?x=1' }),
    vote('a', { target: '/api/polls/tea/reset' }),
    vote('a', { target: '/api/polls/No%20Poll/vote' }),
    vote('a', { headers: { 'content-type': 'text/plain' } }),
    vote('a', { headers: { 'content-type': 'application/json', cookie: 'x'.repeat(3_000) } }),
    vote('a', { body: Buffer.alloc(0) }),
    vote('a', { body: Buffer.alloc(2_000, ' ') }),
  ]
  await Promise.all(others.map((request) => bundler(request)))
  assert.deepEqual(asked, others)
})

test('a full bundle does not wait for the end of the turn', async () => {
  const { bundler, asked, endTurn } = bundlerFor(echo)
  const answers = Array.from({ length: 501 }, (_, index) => bundler(vote(`voter-${index}`)))
  assert.equal(asked.length, 1)
  endTurn()
  assert.equal((await Promise.all(answers)).filter(({ ok }) => ok).length, 501)
  assert.deepEqual(
    asked.map(({ target }) => target),
    [VOTE_BUNDLE_PATH, '/api/polls/tea/vote'],
  )
})

test('when a bundle fails everyone in it hears why, and a backend that knows no bundles gets them one by one', async () => {
  const failing = bundlerFor(() => new Response('{"status":503}', { status: 503, headers: { 'retry-after': '1' } }))
  const answers = ['a', 'b'].map((voter) => failing.bundler(vote(voter)))
  failing.endTurn()
  for (const answer of await Promise.all(answers)) {
    assert.deepEqual([answer.status, answer.headers.get('retry-after'), await answer.text()], [503, '1', '{"status":503}'])
  }
  const older = bundlerFor((request) =>
    request.target === VOTE_BUNDLE_PATH ? new Response(null, { status: 404 }) : echo(request),
  )
  const single = ['a', 'b'].map((voter) => older.bundler(vote(voter)))
  older.endTurn()
  for (const answer of await Promise.all(single)) assert.equal(await answer.text(), 'alone: /api/polls/tea/vote')
})

test('an answer that makes no sense is a fault for everyone in the bundle', async () => {
  for (const nonsense of [[], {}, [{ status: 200 }, { status: 200 }]]) {
    const { bundler, endTurn } = bundlerFor(() => Response.json(nonsense))
    const answers = ['a', 'b'].map((voter) => bundler(vote(voter)))
    endTurn()
    for (const { status } of await Promise.allSettled(answers)) assert.equal(status, 'rejected')
  }
})
