import assert from 'node:assert/strict'
import { test } from 'node:test'
import { networkOf } from './network.ts'

test('an IPv4 address is a client of its own, and so is a /64 of IPv6', () => {
  for (const [address, network] of [
    ['192.0.2.1', '192.0.2.1'],
    ['2001:db8::1', '2001:db8:0:0'],
    ['2001:db8::ffff:1:2:3:4', '2001:db8:0:ffff'],
    ['2001:db8:0:1:2:3:4:5', '2001:db8:0:1'],
    ['2001:db8:1:2::', '2001:db8:1:2'],
    ['2001:db8:1:2:3::', '2001:db8:1:2'],
    ['::1', '0:0:0:0'],
    ['::2:3:4:5:6', '0:0:0:2'],
    ['::', '0:0:0:0'],
    ['', ''],
  ] as const) {
    assert.equal(networkOf(address), network, address)
  }
})
