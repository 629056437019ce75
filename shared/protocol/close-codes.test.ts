import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CloseCode } from './close-codes.ts'

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
