import assert from 'node:assert/strict'
import { test } from 'node:test'
import { problemResponse } from '../../shared/protocol/problem.ts'
import type { ApiRequest } from './api.ts'
import { askForPoll } from './ask-for-poll.ts'

const poll = {
  type: 'poll',
  poll: 'tea',
  question: 'Tea?',
  options: [],
  state: 'open',
  resultsVisible: true,
  opensAt: null,
  closesAt: null,
}
const tally = { type: 'tally', poll: 'tea', epoch: 1, version: 2, total: 0, at: '2026-01-01T00:00:00.000Z' }

/** An API that gives one answer, and what it was asked. */
function answering(answer: Response) {
  const asked: ApiRequest[] = []
  const fetch = async (request: ApiRequest) => {
    asked.push(request)
    return answer
  }
  return { fetch, asked }
}

test('asks for the poll ahead of the line', async () => {
  const api = answering(Response.json({ poll, tally, ballot: null }))
  assert.deepEqual(await askForPoll(api, 'tea'), { snapshot: { poll, tally }, etag: undefined })
  assert.deepEqual(api.asked, [{ method: 'GET', target: '/api/polls/tea', headers: {}, isAheadOfLine: true }])
})

test('does not have sent again what it knows', async () => {
  const first = answering(Response.json({ poll, tally, ballot: null }, { headers: { etag: 'W/"1.2.."' } }))
  const known = await askForPoll(first, 'tea')
  const again = answering(new Response(null, { status: 304 }))
  assert.equal(await askForPoll(again, 'tea', known), known)
  assert.deepEqual(again.asked[0]?.headers, { 'if-none-match': 'W/"1.2.."' })
})

test('believes that there is no poll only when the API says so, and no other 404', async () => {
  assert.equal(await askForPoll(answering(problemResponse(404, 'unknown-poll', 'There is none.')), 'tea'), undefined)
  const others = [
    problemResponse(404, 'not-found', 'Nothing is served here.'),
    new Response('<h1>404 page not found</h1>', { status: 404 }),
    new Response(null, { status: 404 }),
    problemResponse(503, 'unavailable', 'Try again.'),
  ]
  for (const other of others) await assert.rejects(askForPoll(answering(other), 'tea'), /the API answered (404|503)/)
})
