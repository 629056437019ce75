import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Problem, PROBLEM_CONTENT_TYPE } from '../../shared/protocol/problem.ts'
import { startChild } from '../../e2e/support/child.ts'
import { freePort } from '../../e2e/support/free-port.ts'

test('answers whatever is asked with a problem that says to try again, and leaves when told', async () => {
  const port = await freePort()
  await using child = startChild({ entry: 'infra/fallback/main.ts', env: { PORT: String(port) } })
  for (const [method, path] of [
    ['GET', '/api/polls/tea'],
    ['PUT', '/api/polls/tea/vote'],
    ['HEAD', '/ready'],
  ] as const) {
    const answer = await untilAnswered(`http://127.0.0.1:${port}${path}`, method)
    assert.equal(answer.status, 503)
    assert.equal(answer.headers.get('content-type'), PROBLEM_CONTENT_TYPE)
    assert.equal(answer.headers.get('retry-after'), '1')
    const text = await answer.text()
    if (method !== 'HEAD') assert.equal(Problem.parse(JSON.parse(text)).type, '/problems/unavailable')
  }
  assert.equal((await child.stop()).code, 0)
})

/** Asks until the server listens, for ten seconds at most. */
async function untilAnswered(url: string, method: string): Promise<Response> {
  for (const signal = AbortSignal.timeout(10_000); ;) {
    const answer = await fetch(url, { method, signal }).catch((error: unknown) => {
      if (signal.aborted) throw error
      return undefined
    })
    if (answer !== undefined) return answer
  }
}
