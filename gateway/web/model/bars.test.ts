import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { PollFrame, TallyFrame } from '../../../shared/protocol/frames.ts'
import { barsOf } from './bars.ts'

const poll = (...ids: string[]): PollFrame => ({
  type: 'poll',
  poll: 'p',
  question: '?',
  options: ids.map((id) => ({ id, label: id.toUpperCase() })),
  state: 'open',
  resultsVisible: true,
  opensAt: null,
  closesAt: null,
})
const tally = (counts: Record<string, number> | undefined, total: number): TallyFrame => ({
  type: 'tally',
  poll: 'p',
  epoch: 1,
  version: 1,
  ...(counts ? { counts } : {}),
  total,
  at: '2026-01-02T03:04:05.000Z',
})

test('counts become shares, and the option with more votes than any other leads', () => {
  const { kind, bars, total } = barsOf(poll('a', 'b'), tally({ a: 3, b: 1 }, 4))
  assert.equal(kind, 'bars')
  assert.equal(total, 4)
  assert.deepEqual(
    bars.map(({ label, count, share, percent, isLeading }) => ({ label, count, share, percent, isLeading })),
    [
      { label: 'A', count: 3, share: 0.75, percent: 75, isLeading: true },
      { label: 'B', count: 1, share: 0.25, percent: 25, isLeading: false },
    ],
  )
})

test('without votes there are no shares, rather than equal ones', () => {
  const { kind, bars } = barsOf(poll('a', 'b'), tally({ a: 0, b: 0 }, 0))
  assert.equal(kind, 'none')
  assert.ok(bars.every(({ share, percent, isLeading }) => share === 0 && percent === 0 && !isLeading))
})

test('counts held back leave the total and nothing else', () => {
  const { kind, bars, total } = barsOf(poll('a', 'b'), tally(undefined, 12))
  assert.equal(kind, 'hidden')
  assert.equal(total, 12)
  assert.ok(bars.every(({ share, count }) => share === 0 && count === 0))
})

test('a tie has no leader', () => {
  assert.ok(barsOf(poll('a', 'b', 'c'), tally({ a: 2, b: 2, c: 1 }, 5)).bars.every(({ isLeading }) => !isLeading))
})

test('from a thousand votes on there is a decimal, so that a close race shows', () => {
  const { bars, decimals } = barsOf(poll('a', 'b'), tally({ a: 5_010, b: 4_990 }, 10_000))
  assert.equal(decimals, 1)
  assert.deepEqual(
    bars.map(({ percent }) => percent),
    [50.1, 49.9],
  )
})

test('an option named like something every object has counts its own votes', () => {
  const { bars } = barsOf(poll('constructor', 'b'), tally({ b: 1 }, 1))
  assert.equal(bars[0]?.count, 0)
})

test('percentages always add up to 100', () => {
  const counts = fc.array(fc.nat(100_000), { minLength: 2, maxLength: 12 }).filter((all) => all.some((each) => each > 0))
  fc.assert(
    fc.property(counts, (all) => {
      const ids = all.map((_, index) => `o${index}`)
      const record = Object.fromEntries(all.map((each, index) => [`o${index}`, each]))
      const { bars } = barsOf(poll(...ids), tally(record, 0))
      const sum = bars.reduce((total, { percent }) => total + percent, 0)
      assert.ok(Math.abs(sum - 100) < 1e-6, `${sum}`)
      for (const { percent, share } of bars) assert.ok(Math.abs(percent - share * 100) < 1)
    }),
  )
})

test('an organiser may give colours; the others come from the palette, each another one', () => {
  const coloured: PollFrame = {
    ...poll('a', 'b', 'c'),
    options: [{ id: 'a', label: 'A', color: '#123456' }, ...poll('b', 'c').options],
  }
  const colors = barsOf(coloured, tally({ a: 1, b: 0, c: 0 }, 1)).bars.map(({ color }) => color)
  assert.equal(colors[0], '#123456')
  assert.equal(new Set(colors).size, 3)
})
