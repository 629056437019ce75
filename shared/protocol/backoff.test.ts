import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { backoffMs, RECONNECT_BACKOFF } from './backoff.ts'

const almostOne = () => 1 - Number.EPSILON

test('the longest delay doubles from 250 ms and stops at 10 s', () => {
  const longest = [0, 1, 2, 3, 4, 5, 6, 100, 10_000].map((attempt) => Math.round(backoffMs(attempt, almostOne)))
  assert.deepEqual(longest, [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000, 10_000])
})

test('jitter is full: a delay may be anything from zero to the longest', () => {
  assert.equal(
    backoffMs(3, () => 0),
    0,
  )
  assert.equal(
    backoffMs(3, () => 0.5),
    1_000,
  )
})

test('no delay is negative or beyond the cap, whatever the options', () => {
  const options = fc.record({ baseMs: fc.integer({ min: 1, max: 60_000 }), capMs: fc.integer({ min: 1, max: 600_000 }) })
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  fc.assert(
    fc.property(fc.nat(), random, options, (attempt, number, given) => {
      const ms = backoffMs(attempt, () => number, given)
      assert.ok(ms >= 0 && ms <= given.capMs)
    }),
  )
})

test('a crowd that lost its server at once comes back spread evenly', () => {
  const quarters = [0, 0, 0, 0]
  for (let client = 0; client < 10_000; client++) {
    const quarter = Math.floor((backoffMs(0, Math.random) / RECONNECT_BACKOFF.baseMs) * 4)
    quarters[quarter] = (quarters[quarter] ?? 0) + 1
  }
  // 2 500 expected, standard deviation 43: ten of those make a false alarm impossible in practice
  for (const count of quarters) assert.ok(Math.abs(count - 2_500) < 430, String(quarters))
})
