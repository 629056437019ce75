import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createConnectionLimits } from './connection-limits.ts'

function setup(options: { maxSockets?: number; maxPerAddress?: number; handshakesPerSecond?: number }) {
  let at = 0
  const admission = createConnectionLimits({
    maxSockets: 1_000,
    maxPerAddress: 1_000,
    handshakesPerSecond: 1_000,
    ...options,
    now: () => at,
  })
  return { admission, pass: (ms: number) => (at += ms) }
}

test('the process takes so many sockets, and another once one has left', () => {
  const { admission } = setup({ maxSockets: 2 })
  assert.deepEqual([admission.enter('a'), admission.enter('b'), admission.enter('c')], ['admitted', 'admitted', 'full'])
  admission.leave('a')
  assert.equal(admission.enter('c'), 'admitted')
})

test('one address takes so many sockets, and others still get theirs', () => {
  const { admission } = setup({ maxPerAddress: 1 })
  assert.deepEqual([admission.enter('a'), admission.enter('a'), admission.enter('b')], ['admitted', 'crowded', 'admitted'])
  admission.leave('a')
  assert.equal(admission.enter('a'), 'admitted')
})

/** How many of so many tries are admitted, each from another address. */
function admittedOf(admission: ReturnType<typeof setup>['admission'], tries: number, from = (index: number) => String(index)) {
  return Array.from({ length: tries }, (_, index) => admission.enter(from(index))).filter((verdict) => verdict === 'admitted')
    .length
}

test('four seconds of handshakes may come at once, and then no more than the rate', () => {
  const { admission, pass } = setup({ handshakesPerSecond: 10 })
  assert.equal(admittedOf(admission, 100), 40)
  pass(500)
  assert.equal(admittedOf(admission, 100), 5)
  pass(60_000)
  assert.equal(admittedOf(admission, 100), 40, 'what was not used is not saved for ever')
})

test('one address has half of the handshakes, and leaves the others to others', () => {
  const { admission, pass } = setup({ handshakesPerSecond: 10 })
  const greedy = () => 'greedy'
  assert.equal(admittedOf(admission, 100, greedy), 20)
  assert.equal(admission.enter('greedy'), 'hasty')
  assert.equal(admittedOf(admission, 100), 20)
  assert.equal(admission.enter('another'), 'busy')
  pass(4_000)
  assert.equal(admittedOf(admission, 100, greedy), 20)
  assert.equal(admittedOf(admission, 100), 20)
})

test('a socket that comes too fast takes no place', () => {
  const { admission, pass } = setup({ maxSockets: 3, handshakesPerSecond: 1 })
  assert.deepEqual([admission.enter('a'), admission.enter('a'), admission.enter('a')], ['admitted', 'admitted', 'hasty'])
  pass(4_000)
  assert.deepEqual([admission.enter('a'), admission.enter('a')], ['admitted', 'full'])
})
