import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBackendRing } from './backend-ring.ts'

function setup(...backends: string[]) {
  let nowMs = 5_000
  const ring = createBackendRing(backends, () => nowMs)
  return {
    ring,
    choose: (...failed: string[]) => ring.choose(new Set(failed)),
    advance: (ms: number) => void (nowMs += ms),
  }
}

test('every request goes to the same backend until it fails, and then to the next', () => {
  const { ring, choose, advance } = setup('a', 'b', 'c')
  assert.deepEqual([choose(), choose(), choose('a'), choose('a', 'b')], ['a', 'a', 'b', 'c'])
  // requests that were under way together fail together
  assert.equal(ring.fail('a', 1_000), true)
  for (let request = 1; request < 100; request += 1) assert.equal(ring.fail('a', 1_000), false)
  assert.equal(choose(), 'b')
  advance(1_000)
  assert.equal(choose(), 'b', 'it stays where it works')
})

test('a backend that is avoided gets a request only when all are avoided', () => {
  const { ring, choose, advance } = setup('a', 'b')
  ring.fail('a', 10_000)
  assert.deepEqual([choose(), choose('b')], ['b', 'b'])
  ring.fail('b', 1_000)
  assert.deepEqual([choose(), choose('a')], ['a', 'b'])
  advance(1_000)
  assert.deepEqual([choose(), choose('b')], ['b', 'b'])
})

test('of a slow backend and one that hangs the slow one gets what both have failed, and is avoided no longer when it answers', () => {
  const { ring, choose } = setup('hangs', 'slow')
  ring.fail('hangs', 10_000)
  ring.answer('slow')
  ring.fail('slow', 10_000)
  assert.deepEqual([choose(), choose('slow'), choose('hangs', 'slow')], ['slow', 'slow', 'slow'])
  ring.answer('slow')
  assert.equal(ring.fail('slow', 10_000), true)
})

test('one backend gets every try', () => {
  const { ring, choose } = setup('a')
  ring.fail('a', 1_000)
  assert.deepEqual([choose(), choose('a')], ['a', 'a'])
  assert.throws(() => setup(), /no backend/)
})
