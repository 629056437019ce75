import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloseCode, isFinal } from './close-codes.ts'

test('only 4400 to 4499 end a subscription for good', () => {
  for (const code of [4400, CloseCode.notAllowed, CloseCode.unknownPoll, 4499]) assert.ok(isFinal(code), String(code))
  for (const code of [1000, 1001, 1005, 1006, 1008, 1011, 1012, 1013, 3000, 4000, 4399, 4500, 4999]) {
    assert.ok(!isFinal(code), String(code))
  }
})

test('every code a server sends may be put into a close frame', () => {
  // RFC 6455 §7.4: 1005, 1006 and 1015 are never sent; 1004 is reserved; 1016 to 2999 are unassigned
  const { abnormal, ...sent } = CloseCode
  assert.equal(abnormal, 1006)
  for (const code of Object.values(sent)) {
    assert.ok(
      (code >= 1000 && code <= 1014 && ![1004, 1005, 1006].includes(code)) || (code >= 3000 && code <= 4999),
      String(code),
    )
  }
})
