import assert from 'node:assert/strict'
import { test } from 'node:test'
import { continued, isWhole, stepsFor } from './history.ts'

const MINUTE = 60_000
const at = (ms: number) => new Date(ms).toISOString()

test('the finest step that may hold the whole past is asked for first, one that holds it for certain last', () => {
  const after = (minutes: number) => stepsFor(0, minutes * MINUTE)
  assert.deepEqual(after(0), ['1s'])
  assert.deepEqual(after(10), ['1s'])
  assert.deepEqual(after(59), ['1s', '10s'])
  assert.deepEqual(after(70), ['1s', '10s'])
  assert.deepEqual(after(90), ['10s'])
  assert.deepEqual(after(180), ['10s', '1m'])
  assert.deepEqual(after(24 * 60), ['10m'])
  assert.deepEqual(after(365 * 24 * 60), ['1h'])
})

test('an answer that is full may lack the beginning', () => {
  const points = Array.from({ length: 1_000 }, () => ({ at: at(0), total: 1 }))
  assert.ok(!isWhole({ points }))
  assert.ok(isWhole({ points: points.slice(1) }))
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
