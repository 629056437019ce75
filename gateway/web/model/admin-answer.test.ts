import assert from 'node:assert/strict'
import { test } from 'node:test'
import { adminAnswerOf } from './admin-answer.ts'

const answer = (status: number, type?: string, body: string | null = '') =>
  new Response(body, { status, ...(type === undefined ? {} : { headers: { 'content-type': type } }) })
const kindOf = async (response: Response | undefined) => (await adminAnswerOf(response)).kind

test('what the API sends is taken for its answer: JSON, tickets and exports, and that a poll is removed', async () => {
  for (const response of [
    answer(200, 'application/json', '{}'),
    answer(201, 'application/json; charset=UTF-8', '{}'),
    answer(201, 'text/csv; charset=utf-8', 'link'),
    answer(204, undefined, null),
  ]) {
    assert.equal(await kindOf(response), 'ok')
  }
})

test('a page that something before the API shows in its place is no answer, whatever its status', async () => {
  for (const status of [200, 201, 401, 403, 404, 502]) {
    assert.equal(await kindOf(answer(status, 'text/html', '<h1>Welcome to our Wi-Fi</h1>')), 'silent', String(status))
  }
  assert.equal(await kindOf(answer(200)), 'silent')
  assert.equal(await kindOf(undefined), 'silent')
})

test('a refusal is told in its own words, and a token that is not valid ends the session', async () => {
  const problem = (status: number) => answer(status, 'application/problem+json', '{"detail":"There is a poll of that name."}')
  assert.deepEqual(await adminAnswerOf(problem(409)), { kind: 'refused', detail: 'There is a poll of that name.' })
  assert.deepEqual(await adminAnswerOf(problem(401)), { kind: 'signed-out' })
  assert.deepEqual(await adminAnswerOf(problem(503)), { kind: 'silent' })
})
