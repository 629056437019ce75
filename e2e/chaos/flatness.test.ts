import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeFlatness, quantile, type Sample } from './flatness.ts'

const TIMES = { warmUpMs: 1_000, leastMs: 5_000 }
const ALLOWANCE = { share: 0.1, constant: 5 }
const samples = (value: (n: number) => number): Sample[] =>
  Array.from({ length: 100 }, (_, n) => ({ at: n * 100, value: value(n) }))

test('a figure that rises only while warming up is flat', () => {
  const judged = judgeFlatness(
    samples((n) => (n < 10 ? n * 10 : 100)),
    ALLOWANCE,
    TIMES,
  )
  assert.deepEqual(judged, { kind: 'flat', first: 100, last: 100, samples: 90 })
})

test('single high samples do not count, a rise does', () => {
  assert.equal(
    judgeFlatness(
      samples((n) => (n === 95 ? 900 : 100)),
      ALLOWANCE,
      TIMES,
    ).kind,
    'flat',
  )
  assert.equal(
    judgeFlatness(
      samples((n) => 100 + n),
      ALLOWANCE,
      TIMES,
    ).kind,
    'grew',
  )
})

test('a life that was too short is not judged', () => {
  assert.equal(judgeFlatness(samples((n) => n).slice(0, 40), ALLOWANCE, TIMES).kind, 'short')
  assert.equal(judgeFlatness([], ALLOWANCE, TIMES).kind, 'short')
})

test('a quantile is a value that occurs, and 0 of none', () => {
  assert.equal(quantile([3, 1, 2], 0.5), 2)
  assert.equal(quantile([3, 1, 2], 1), 3)
  assert.equal(quantile([], 0.5), 0)
})
