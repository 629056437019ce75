import assert from 'node:assert/strict'
import { test } from 'node:test'
import { continued, stepFor } from './history.ts'

const MINUTE = 60_000
const at = (ms: number) => new Date(ms).toISOString()

test('the step is the finest in which the whole past fits into one answer', () => {
  assert.equal(stepFor(0), '1s')
  assert.equal(stepFor(15 * MINUTE), '1s')
  assert.equal(stepFor(16 * MINUTE), '10s')
  assert.equal(stepFor(24 * 60 * MINUTE), '10m')
  assert.equal(stepFor(365 * 24 * 60 * MINUTE), '1h')
})

test('the past comes first, and what was seen here since goes on from it', () => {
  const history = { points: [1_000, 2_000, 3_000].map((ms, index) => ({ at: at(ms), total: index + 1 })) }
  const seen = [
    { at: 1_500, total: 2 },
    { at: 3_500, total: 4 },
  ]
  assert.deepEqual(
    continued(history, seen, 4_000).moments.map(({ at: ms, total }) => [ms, total]),
    [
      [1_000, 1],
      [2_000, 2],
      [3_000, 3],
      [3_500, 4],
    ],
  )
})

test('a server whose clock is ahead draws nothing beyond now', () => {
  assert.deepEqual(continued({ points: [{ at: at(9_000), total: 1 }] }, [], 4_000).moments, [{ at: 4_000, total: 1 }])
  assert.deepEqual(continued({ points: [] }, [], 4_000).moments, [])
})
