import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTimeline } from './timeline.ts'

test('the line goes from the first total to the last and on to now', () => {
  const timeline = createTimeline()
  timeline.add(0, 0)
  timeline.add(500, 5)
  timeline.add(750, 10)
  assert.equal(timeline.path(100, 20, 1_000), 'M0 20L50 10L75 0L100 0')
})

test('one moment is already a line as time passes, and none is nothing', () => {
  const timeline = createTimeline()
  assert.equal(timeline.path(100, 20, 1_000), '')
  timeline.add(1_000, 4)
  assert.equal(timeline.path(100, 20, 1_000), '')
  assert.equal(timeline.path(100, 20, 2_000), 'M0 0L100 0')
})

test('a total that stays is one moment', () => {
  const timeline = createTimeline()
  for (let at = 0; at < 100; at++) timeline.add(at, 7)
  assert.equal(timeline.moments.length, 1)
})

test('an evening fits into the capacity: first and last stay, and the line never leaves its box', () => {
  const timeline = createTimeline(60)
  for (let second = 0; second <= 20_000; second++) timeline.add(second * 1_000, second)
  assert.ok(timeline.moments.length <= 60)
  assert.ok(timeline.moments.length >= 25)
  assert.deepEqual(timeline.moments[0], { at: 0, total: 0 })
  assert.deepEqual(timeline.moments.at(-1), { at: 20_000_000, total: 20_000 })
  for (const [, x, y] of timeline.path(300, 40, 20_000_000).matchAll(/[ML](\S+) (\d+(?:\.\d)?)/g)) {
    assert.ok(Number(x) >= 0 && Number(x) <= 300 && Number(y) >= 0 && Number(y) <= 40)
  }
})

test('after a reset the line comes down again', () => {
  const timeline = createTimeline()
  timeline.add(0, 10)
  timeline.add(500, 0)
  assert.equal(timeline.path(100, 20, 1_000), 'M0 0L50 20L100 20')
})
