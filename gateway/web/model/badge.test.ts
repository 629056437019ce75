import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { State, Status } from '../client/tally-client.ts'
import { de } from '../messages/de.ts'
import { en } from '../messages/en.ts'
import { badgeOf } from './badge.ts'

const at = (ms: number) => `12:03:0${ms}`
const badge = (status: Partial<Status> & { state: State }, pausedAt?: number) =>
  badgeOf({ delayed: false, ...status }, en, at, pausedAt)

test('connected, or too shortly lost for anyone to read a notice: live', () => {
  for (const state of ['live', 'moving', 'reconnecting'] as const) {
    assert.deepEqual(badge({ state, asOf: 7 }), { kind: 'live', text: 'live' })
  }
})

test('two seconds without a connection: reconnecting, and of when the numbers are', () => {
  assert.deepEqual(badge({ state: 'stale', asOf: 7 }), { kind: 'old', text: 'reconnecting · as of 12:03:07' })
  assert.equal(badgeOf({ state: 'stale', asOf: 7, delayed: false }, de, at).text, 'verbinde neu · Stand 12:03:07')
})

test('a good connection to a server that hears nothing is not called live', () => {
  assert.deepEqual(badge({ state: 'live', asOf: 7, delayed: true }), { kind: 'old', text: 'as of 12:03:07' })
})

test('before the first tally there is nothing to be live', () => {
  assert.equal(badge({ state: 'connecting' }).kind, 'wait')
  assert.deepEqual(badge({ state: 'stale' }), { kind: 'wait', text: 'reconnecting…' })
})

test('paused numbers carry the time at which they were stopped', () => {
  assert.deepEqual(badge({ state: 'live', asOf: 9 }, 7), { kind: 'old', text: 'paused · as of 12:03:07' })
})

test('what has ended says why', () => {
  assert.equal(badge({ state: 'closed', code: 4404, asOf: 7 }).text, 'no such poll')
  assert.equal(badge({ state: 'closed', code: 4403 }).text, 'not allowed')
  assert.equal(badge({ state: 'closed' }).text, 'ended')
})
