import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ApiRequest } from './api.ts'
import { createReadLines } from './read-lines.ts'

const get = (target: string): ApiRequest => ({ method: 'GET', target, headers: {} })
const HISTORY = '/api/polls/tea/history?step=1s'

test('a line that is full turns further reads away at once, and takes others when it is shorter', async () => {
  const inLine = createReadLines(() => 0)
  const finish: (() => void)[] = []
  const work = () => new Promise<Response>((resolve) => finish.push(() => resolve(new Response())))
  const standing = Array.from({ length: 20_000 }, () => inLine(get(HISTORY), work))
  const refused = await inLine(get(HISTORY), work)
  assert.deepEqual([refused.status, refused.headers.get('retry-after')], [503, '1'])
  const answered = inLine(get('/api/polls/tea'), async () => new Response('in another line'))
  assert.equal(await (await answered).text(), 'in another line')
  finish.shift()?.()
  await Promise.race(standing)
  const last = inLine(get(HISTORY), async () => new Response('in line again'))
  while (finish.length > 0) {
    for (const end of finish.splice(0)) end()
    await new Promise((resolve) => setImmediate(resolve))
  }
  assert.equal(await (await last).text(), 'in line again')
  assert.ok((await Promise.all(standing)).every(({ status }) => status === 200))
})
