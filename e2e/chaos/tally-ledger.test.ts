import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTallyLedger } from './tally-ledger.ts'

const tally = (version: number, a: number, epoch = 1) => ({ poll: 'tea', epoch, version, counts: { a, b: 1 }, total: a + 1 })

test('newer tallies, of a later epoch too, are right; older ones are named', () => {
  const ledger = createTallyLedger()
  assert.equal(ledger.shown('s', tally(5, 5)), undefined)
  assert.equal(ledger.shown('s', tally(6, 6)), undefined)
  assert.equal(ledger.shown('s', tally(1, 0, 2)), undefined)
  assert.equal(ledger.shown('s', tally(7, 7))?.rule, 'a screen went backwards')
  assert.equal(ledger.shown('t', tally(5, 5)), undefined, 'another screen may be behind')
  assert.equal(ledger.tallies, 5)
})

test('one version has one content, whatever the order of its counts', () => {
  const ledger = createTallyLedger()
  assert.equal(ledger.shown('s', tally(5, 5)), undefined)
  assert.equal(ledger.shown('t', { ...tally(5, 5), counts: { b: 1, a: 5 } }), undefined)
  assert.equal(ledger.shown('database', tally(5, 4))?.rule, 'one version has two contents')
})

test('a total is the sum of its counts', () => {
  assert.equal(createTallyLedger().shown('s', { ...tally(5, 5), total: 7 })?.rule, 'a total is not the sum of its counts')
})

test('a definition goes forwards, save by an edit that was never answered', () => {
  const ledger = createTallyLedger()
  assert.equal(ledger.defined('s', 'tea', 3, new Set()), undefined)
  assert.equal(ledger.defined('s', 'tea', 3, new Set()), undefined)
  assert.equal(ledger.defined('s', 'tea', 2, new Set([2])), undefined)
  assert.equal(ledger.defined('s', 'tea', 2, new Set())?.rule, 'a definition went backwards')
})
