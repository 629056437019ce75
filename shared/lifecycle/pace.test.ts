import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { createMovePace, evenSpread, type MovePace } from './pace.ts'

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

describe('the pace of a move', () => {
  /** 600 are asked over 6 s, may stay for 4 s each, and all have to be gone after 20 s. */
  const options = { count: 600, askMs: 6_000, overlapMs: 4_000, endMs: 20_000, random: () => 0.5 }

  /** When each is asked, in ms, if each leaves `staysMs(index)` after that; in steps of 10 ms. */
  function askedAt(pace: MovePace, staysMs: (index: number) => number, count = options.count) {
    const asked: number[] = []
    let underWay: number[] = []
    for (let now = 0; now <= options.endMs; now += 10) {
      const leaving = underWay.filter((index) => (asked[index] ?? 0) + staysMs(index) <= now)
      underWay = underWay.filter((index) => !leaving.includes(index))
      for (const index of leaving) pace.left(now - (asked[index] ?? 0))
      while (pace.isDue(now, asked.length, underWay.length)) {
        underWay.push(asked.length)
        asked.push(now)
      }
    }
    assert.equal(asked.length, count)
    return asked
  }

  test('is even and no faster than the spread while all leave promptly', () => {
    const asked = askedAt(createMovePace(options), (index) => (index * 7) % 1_300)
    for (const [index, at] of asked.entries()) {
      assert.ok(at >= index * 10 && at <= index * 10 + 10, `number ${index} at ${at} ms`)
    }
  })

  test('stands still with the first hundred under way while nobody leaves, until the latest pace comes to the next', () => {
    const asked = askedAt(createMovePace(options), () => Infinity)
    // the latest pace asks 600 in 11 s, halfway between 6 s and 16 s
    for (const [index, at] of asked.entries()) {
      const dueMs = index < 100 ? index * 10 : ((index + 1) * 11_000) / 600
      assert.ok(at >= dueMs && at <= dueMs + 10, `number ${index} at ${at} ms`)
    }
  })

  test('lets more be under way the more have left promptly, up to two hundred', () => {
    const pace = createMovePace(options)
    assert.deepEqual([pace.isDue(5_000, 300, 99), pace.isDue(5_000, 300, 100)], [true, false])
    for (let leaving = 0; leaving < 500; leaving += 1) pace.left(2_000)
    assert.deepEqual([pace.isDue(5_000, 300, 199), pace.isDue(5_000, 300, 200)], [true, false])
    for (let leaving = 0; leaving < 30; leaving += 1) pace.left(2_001)
    assert.deepEqual([pace.isDue(5_000, 300, 169), pace.isDue(5_000, 300, 170)], [true, false])
  })

  test('asks everyone in time, whatever it takes them', () => {
    for (const staysMs of [3_000, 6_000, 9_000]) {
      const asked = askedAt(createMovePace(options), () => staysMs)
      assert.ok((asked.at(-1) ?? 0) <= 11_000, `the last at ${asked.at(-1)} ms`)
    }
  })

  test('everyone may stay until the last seconds, in which they go evenly, whoever was asked first goes first', () => {
    const { mayStay } = createMovePace(options)
    assert.ok(mayStay(14_000) >= 600)
    assert.equal(mayStay(17_000), 300)
    assert.equal(mayStay(20_000), 0)
  })

  test('without time to spare it is the even pace, each asked an overlap before it may have to go', () => {
    const asked = askedAt(createMovePace({ ...options, endMs: 10_000 }), () => Infinity)
    const { mayStay } = createMovePace({ ...options, endMs: 10_000 })
    for (const [index, at] of asked.entries()) {
      assert.ok(at >= index * 10 && at <= index * 10 + 20, `number ${index} at ${at} ms`)
      assert.ok(mayStay(at + 4_000 - 20) > 600 - index - 1, 'it is not closed before its overlap is over')
    }
  })

  test('a few are no crowd, and no spread means all at once', () => {
    const few = createMovePace({ ...options, count: 3 })
    assert.deepEqual([few.isDue(5_900, 0, 0), few.isDue(5_900, 1, 1), few.isDue(5_900, 2, 2)], [true, true, true])
    const atOnce = createMovePace({ ...options, askMs: 0, overlapMs: 0 })
    for (let asked = 0; asked < 600; asked += 1) assert.equal(atOnce.isDue(0, asked, 0), true)
    assert.equal(atOnce.isDue(0, 600, 0), false)
  })
})
