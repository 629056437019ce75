import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createManualClock } from '../../e2e/support/manual-clock.ts'
import { evenSpread, pace } from './pace.ts'

test('everyone is due within the spread, in order, and one in each equal part of it', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 2_000 }),
      fc.integer({ min: 0, max: 60_000 }),
      fc.infiniteStream(fc.double({ min: 0, max: 0.999, noNaN: true })),
      (count, spreadMs, jitter) => {
        const due = evenSpread(count, spreadMs, () => jitter.next().value)
        const partMs = spreadMs / count
        assert.equal(due.length, count)
        for (const [index, dueMs] of due.entries()) {
          assert.ok(dueMs >= index * partMs && dueMs <= (index + 1) * partMs, `number ${index} of ${count} at ${dueMs}`)
        }
      },
    ),
    { numRuns: 50 },
  )
})

test('nobody to act on takes no time', async () => {
  await pace({ dueMs: [], clock: createManualClock(), signal: new AbortController().signal, act: () => assert.fail() })
})

for (const count of [1, 7, 50_000]) {
  test(`${count} are acted on once each, in order, and the last one within the spread`, async () => {
    const clock = createManualClock()
    const waits: number[] = []
    const acted: number[] = []
    let lastAt = 0
    const done = pace({
      dueMs: evenSpread(count, 10_000, () => 0.5),
      clock: { now: clock.now, wait: (ms, signal) => (waits.push(ms), clock.wait(ms, signal)) },
      signal: new AbortController().signal,
      act(index) {
        acted.push(index)
        lastAt = clock.now()
      },
    })
    await clock.advance(10_005)
    await done
    assert.equal(acted.length, count)
    assert.ok(acted.every((index, position) => index === position))
    assert.ok(lastAt <= 10_005, `the last at ${lastAt}`)
    assert.ok(waits.length <= 2_001, `woke up ${waits.length} times`)
  })
}

test('a process that was too busy makes up for the overdue at once', async () => {
  const clock = createManualClock()
  const at: number[] = []
  const done = pace({
    dueMs: [10, 20, 30, 500],
    clock,
    signal: new AbortController().signal,
    act: () => void at.push(clock.now()),
  })
  await clock.advance(10)
  await clock.advance(490)
  await done
  assert.deepEqual(at, [10, 20, 30, 500])
})

test('an abort leaves the rest undone', async () => {
  const clock = createManualClock()
  const abort = new AbortController()
  const acted: number[] = []
  const done = pace({ dueMs: [10, 20, 3_000], clock, signal: abort.signal, act: (index) => void acted.push(index) })
  await clock.advance(100)
  abort.abort()
  await done
  assert.deepEqual(acted, [0, 1])
})
