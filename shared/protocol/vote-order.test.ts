import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createStamps, MAX_CLIENT_ORDER, nextStamp } from './vote-order.ts'

test('a stamp is the wall clock in microseconds', () => {
  assert.equal(nextStamp(0, 1_795_616_786_405.5), 1_795_616_786_405_500)
})

test('stamps rise whatever the wall clock does, and stay exact', () => {
  fc.assert(
    fc.property(fc.array(fc.double({ min: 0, max: 4e12, noNaN: true }), { minLength: 2 }), (readings) => {
      const clock = readings.values()
      const stamp = createStamps(() => clock.next().value ?? 0)
      const stamps = readings.map(() => stamp())
      assert.ok(stamps.every((each, i) => Number.isSafeInteger(each) && each > (stamps[i - 1] ?? 0)))
    }),
  )
})

test('a client may count on from a stamp until the year 2112', () => {
  assert.ok(nextStamp(0, Date.UTC(2112, 0)) < MAX_CLIENT_ORDER)
})
