import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createRequestLimits } from './request-limits.ts'

test('an address gets its quota, is then told how long to wait, and each thing is counted for itself', async () => {
  const refused: string[] = []
  const limits = createRequestLimits({
    quotas: { votes: 2, voters: 1, histories: 0 },
    onRefused: (what, address) => refused.push(`${what} ${address}`),
  })
  for (let time = 0; time < 2; time += 1) assert.equal(await limits.refusal('votes', '192.0.2.1'), undefined)
  const answer = await limits.refusal('votes', '192.0.2.1')
  assert.equal(answer?.status, 429)
  assert.equal(answer.headers.get('ratelimit-policy'), '"votes";q=2;w=10')
  assert.equal(answer.headers.get('ratelimit'), `"votes";r=0;t=${answer.headers.get('retry-after')}`)
  assert.equal(await limits.refusal('voters', '192.0.2.1'), undefined)
  assert.equal(await limits.refusal('votes', '192.0.2.2'), undefined)
  assert.deepEqual(refused, ['votes 192.0.2.1'])
})

test('who waits as long as they were told gets in again', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'] })
  const limits = createRequestLimits({ quotas: { votes: 1, voters: 0, histories: 0 } })
  await limits.refusal('votes', '192.0.2.1')
  t.mock.timers.tick(6_500)
  const waitS = Number((await limits.refusal('votes', '192.0.2.1'))?.headers.get('retry-after'))
  assert.equal(waitS, 4)
  t.mock.timers.tick(waitS * 1_000)
  assert.equal(await limits.refusal('votes', '192.0.2.1'), undefined)
})

test('a clock that is set back makes nobody wait longer than the window', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000_000 })
  const limits = createRequestLimits({ quotas: { votes: 1, voters: 0, histories: 0 } })
  await limits.refusal('votes', '192.0.2.1')
  t.mock.timers.setTime(0)
  assert.equal((await limits.refusal('votes', '192.0.2.1'))?.headers.get('retry-after'), '10')
})

test('of IPv6 a client has one quota for its whole /64', async () => {
  const limits = createRequestLimits({ quotas: { votes: 1, voters: 0, histories: 0 } })
  assert.equal(await limits.refusal('votes', '2001:db8:0:1::1'), undefined)
  assert.equal((await limits.refusal('votes', '2001:db8:0:1:ffff::2'))?.status, 429)
  assert.equal(await limits.refusal('votes', '2001:db8:0:2::1'), undefined)
})
