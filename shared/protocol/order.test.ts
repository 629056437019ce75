import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { isNewer, type Versioned } from './order.ts'

const place = (epoch: number, version: number): Versioned => ({ epoch, version })
const places = fc.record({ epoch: fc.nat(3), version: fc.nat(3) })

test('anything is newer than nothing', () => {
  assert.ok(isNewer(place(0, 0), undefined))
})

test('within an epoch the higher version is newer', () => {
  assert.ok(isNewer(place(1, 8), place(1, 7)))
  assert.ok(!isNewer(place(1, 6), place(1, 7)))
})

test('a later epoch is newer even with a lower version, as after a reset', () => {
  assert.ok(isNewer(place(2, 0), place(1, 900)))
  assert.ok(!isNewer(place(1, 900), place(2, 0)))
})

test('the same place is not newer, so a repeated tally is not shown twice', () => {
  assert.ok(!isNewer(place(1, 7), place(1, 7)))
})

test('what has a place is newer than what has none, and never the other way round', () => {
  assert.ok(isNewer(place(0, 0), {}))
  assert.ok(!isNewer({}, place(0, 0)))
  assert.ok(!isNewer({}, undefined))
})

test('of two places exactly one is newer, unless they are the same', () => {
  fc.assert(
    fc.property(places, places, (a, b) => {
      const same = a.epoch === b.epoch && a.version === b.version
      assert.equal(Number(isNewer(a, b)) + Number(isNewer(b, a)), same ? 0 : 1)
    }),
  )
})

test('newer than newer is newer: no chain of servers leads back', () => {
  fc.assert(
    fc.property(places, places, places, (a, b, c) => {
      if (isNewer(a, b) && isNewer(b, c)) assert.ok(isNewer(a, c))
    }),
  )
})
