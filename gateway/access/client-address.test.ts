import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPeerReader, proxyItem } from './client-address.ts'

const request = (remoteAddress: string, headers: Record<string, string> = {}) => ({
  headers,
  socket: { remoteAddress },
})

test('without a trusted proxy the connection is the truth, whatever the headers say', () => {
  const read = createPeerReader([])
  const lying = {
    host: 'vote.example',
    'x-forwarded-for': '192.0.2.7',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'evil.example',
  }
  assert.deepEqual(read(request('198.51.100.1', lying)), { address: '198.51.100.1', origin: 'http://vote.example' })
  assert.deepEqual(read(request('::ffff:198.51.100.1', lying)).address, '198.51.100.1')
})

test('a trusted proxy is believed about the client, the scheme and the host', () => {
  const read = createPeerReader(['private'])
  const said = {
    host: 'gateway:8080',
    'x-forwarded-for': '192.0.2.7',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'vote.example',
  }
  assert.deepEqual(read(request('::ffff:10.0.0.2', said)), { address: '192.0.2.7', origin: 'https://vote.example' })
})

test('what a client put in front of the real chain is not believed', () => {
  const read = createPeerReader(['10.0.0.0/8'])
  assert.equal(read(request('10.0.0.2', { 'x-forwarded-for': '1.1.1.1, 192.0.2.7, 10.0.0.9' })).address, '192.0.2.7')
})

test('a chain of our own proxies alone gives its first hop', () => {
  const read = createPeerReader(['10.0.0.0/8', '::1'])
  assert.equal(read(request('::1', { 'x-forwarded-for': '10.0.0.7, 10.0.0.9' })).address, '10.0.0.7')
  assert.equal(read(request('10.0.0.2', {})).address, '10.0.0.2')
})

test('ranges are addresses, CIDR ranges or well-known names', () => {
  for (const good of ['127.0.0.1', '10.0.0.0/8', '::1', 'fc00::/7', 'loopback', 'private'])
    assert.ok(proxyItem.safeParse(good).success, good)
  for (const bad of ['', 'proxy', '10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/8', '*'])
    assert.ok(!proxyItem.safeParse(bad).success, bad)
})
