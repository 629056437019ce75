import assert from 'node:assert/strict'
import { test } from 'node:test'
import { FAULT_KINDS, planFaults, sparingFirst, type PlannedFault } from './fault-plan.ts'

function first(count: number, seed: number, kinds = FAULT_KINDS): PlannedFault[] {
  const plan = planFaults(seed, kinds)
  return Array.from({ length: count }, () => plan.next().value)
}

test('a seed plans the same faults each time, another seed others', () => {
  assert.deepEqual(first(50, 7), first(50, 7))
  assert.notDeepEqual(first(50, 7), first(50, 8))
})

test('every kind comes once before any comes again', () => {
  for (const seed of [1, 2, 3]) {
    const kinds = first(FAULT_KINDS.length, seed).map(({ fault }) => fault.kind)
    assert.deepEqual(kinds.toSorted(), FAULT_KINDS.toSorted())
  }
})

test('only the kinds that were asked for are planned', () => {
  assert.deepEqual(new Set(first(9, 1, ['many read', 'redis dies']).map(({ fault }) => fault.kind)).size, 2)
})

test('the first replica is spared from what would end it, and from nothing else', () => {
  assert.deepEqual(sparingFirst({ kind: 'backend dies', replica: 0, downMs: 5 }), { kind: 'backend dies', replica: 1, downMs: 5 })
  for (const fault of [
    { kind: 'backend stalls', replica: 0, forMs: 5 },
    { kind: 'gateway dies', replica: 2, downMs: 5 },
    { kind: 'redis dies', downMs: 5 },
  ] as const) {
    assert.deepEqual(sparingFirst(fault), fault)
  }
})
