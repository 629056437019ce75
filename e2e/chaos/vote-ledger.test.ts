import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeBallot, type Vote, type Wipe } from './vote-ledger.ts'

const READING = { from: 1_000, to: 1_010 }

/** Votes one after the other, ten ms each, from the given time on. */
function votes(...cast: readonly (readonly [option: string, status: number | undefined, sentAt?: number])[]): Vote[] {
  return cast.map(([option, status, sentAt], number): Vote => {
    const at = sentAt ?? 100 * (number + 1)
    return status === undefined
      ? { option, ordered: false, sentAt: at }
      : { option, ordered: false, sentAt: at, answeredAt: at + 10, status }
  })
}

/** What the ledger says of a ballot that was written at the given time; before any wipe unless told. */
function rule(cast: readonly Vote[], option: string | undefined, wipes: readonly Wipe[] = [], writtenAt = 0): string {
  const verdict = judgeBallot(cast, option === undefined ? undefined : { option, writtenAt }, wipes, READING)
  return verdict.ok ? ('late' in verdict ? 'late' : 'ok') : verdict.rule
}

test('the last acknowledged vote must stand', () => {
  const cast = votes(['a', 200], ['b', 200])
  assert.equal(rule(cast, 'b'), 'ok')
  assert.equal(rule(cast, 'a'), 'an acknowledged change of vote is not stored')
  assert.equal(rule(cast, undefined), 'an acknowledged vote is not stored')
  assert.equal(rule(cast, 'c'), 'a ballot that nobody cast')
})

test('a later vote of unknown fate may stand, an older one may not', () => {
  assert.equal(rule(votes(['a', 200], ['b', 504]), 'b'), 'ok')
  assert.equal(rule(votes(['a', 200], ['b', 0]), 'a'), 'ok')
  assert.equal(rule(votes(['b', 503], ['a', 200]), 'b'), 'an older vote of unknown fate replaced a later acknowledged one')
  assert.equal(rule(votes(['a', undefined]), undefined), 'ok')
})

test('a refused vote decides nothing, and must not stand', () => {
  assert.equal(rule(votes(['a', 200], ['b', 409]), 'a'), 'ok')
  assert.equal(rule(votes(['a', 200], ['b', 409]), 'b'), 'a refused vote is stored')
  assert.equal(rule(votes(['b', 422]), undefined), 'ok')
})

test('a vote that is answered during the reading may be in it or not', () => {
  const cast = votes(['a', 200], ['b', 200, 995])
  assert.equal(rule(cast, 'a'), 'ok')
  assert.equal(rule(cast, 'b'), 'ok')
  assert.equal(rule(votes(['a', 200], ['b', 200, 1_020]), 'b'), 'a ballot that nobody cast')
})

test('after a reset the vote before it is gone, and the vote after it stands', () => {
  const reset = [{ from: 150, to: 160 }]
  assert.equal(rule(votes(['a', 200]), undefined, reset), 'ok')
  assert.equal(rule(votes(['a', 200]), 'a', reset), 'an acknowledged change of vote is not stored')
  assert.equal(rule(votes(['a', 200], ['b', 200]), 'b', reset), 'ok')
  assert.equal(rule(votes(['a', 200], ['b', 200]), undefined, reset), 'an acknowledged vote is not stored')
})

test('a vote that met a reset may stand or be gone', () => {
  const cast = votes(['a', 200, 140])
  for (const ballot of ['a', undefined]) assert.equal(rule(cast, ballot, [{ from: 145, to: 160 }]), 'ok')
  for (const ballot of ['a', undefined]) assert.equal(rule(cast, ballot, [{ from: 1_005, to: 1_020 }]), 'ok')
})

test('what is written after a reset is late when its vote is from before', () => {
  const reset = [{ from: 500, to: 510 }]
  assert.equal(rule(votes(['b', 504], ['a', 200]), 'b', reset, 600), 'late')
  assert.equal(rule(votes(['a', 200]), 'a', reset, 600), 'late', 'the copy of a vote that was taken elsewhere')
  assert.equal(rule(votes(['b', 409], ['a', 200]), 'b', reset, 600), 'a refused vote is stored')
  assert.equal(
    rule(votes(['b', 504], ['a', 200, 700]), 'b', reset, 800),
    'an older vote of unknown fate replaced a later acknowledged one',
    'where the acknowledged one came after the reset',
  )
})
