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

test('four seconds of handshakes may come at once, and then no more than the rate', () => {
  const { admission, pass } = setup({ handshakesPerSecond: 10 })
  const admitted = (tries: number) =>
    Array.from({ length: tries }, () => admission.enter('a')).filter((verdict) => verdict === 'admitted').length
  assert.equal(admitted(100), 40)
  pass(500)
  assert.equal(admitted(100), 5)
  pass(60_000)
  assert.equal(admitted(100), 40, 'what was not used is not saved for ever')
})
