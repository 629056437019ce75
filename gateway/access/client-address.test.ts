import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { ConfigError, list, readEnv } from '../../shared/config/env.ts'
import { createOriginCheck } from './allowed-origins.ts'
import { createPeerReader, proxyItem } from './client-address.ts'

const request = (remoteAddress: string, headers: Record<string, string> = {}) => ({
  headers,
  socket: { remoteAddress },
})

describe('without a trusted proxy', () => {
  test('the connection is the truth, whatever the headers say', () => {
    const read = createPeerReader([])
    const lying = {
      host: 'vote.example',
      'x-forwarded-for': '192.0.2.7',
      'x-forwarded-proto': 'https',
      'x-forwarded-host': 'evil.example',
      'x-forwarded-port': '8443',
      forwarded: 'for=192.0.2.7;proto=https;host=evil.example',
      origin: 'http://vote.example:8443',
    }
    assert.deepEqual(read(request('198.51.100.1', lying)), { address: '198.51.100.1', origin: 'http://vote.example' })
  })

  test('an address has one form, whichever socket reports it', () => {
    const read = createPeerReader([])
    for (const [reported, address] of [
      ['::ffff:198.51.100.1', '198.51.100.1'],
      ['::ffff:c633:6401', '198.51.100.1'],
      ['fe80::1%eth0', 'fe80::1'],
      ['2001:DB8:0::1', '2001:db8::1'],
    ] as const)
      assert.equal(read(request(reported)).address, address)
  })

  test('a connection that has gone has no address', () => {
    for (const trusted of [[], ['private']])
      assert.equal(createPeerReader(trusted)({ headers: {}, socket: { remoteAddress: undefined } }).address, '')
  })
})

/** What the handshake of a page at https://vote.example looks like behind each proxy, as that proxy's documentation or source has it. */
const HANDSHAKES: Readonly<Record<string, Record<string, string>>> = {
  'Traefik ends TLS': {
    host: 'vote.example',
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-host': 'vote.example',
    'x-forwarded-port': '443',
    'x-forwarded-proto': 'wss',
    'x-forwarded-server': 'traefik-1',
    'x-real-ip': '203.0.113.9',
  },
  'HAProxy with X-Forwarded-*': {
    host: 'vote.example',
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-proto': 'https',
  },
  'HAProxy with Forwarded': { host: 'vote.example', forwarded: 'proto=https;for=203.0.113.9' },
  'nginx as most set it up': {
    host: 'vote.example',
    'x-real-ip': '203.0.113.9',
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-proto': 'https',
  },
  'nginx behind an address translation, which sends its own port': {
    host: 'vote.example',
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-proto': 'https',
    'x-forwarded-port': '8443',
  },
  'nginx that does not pass the host on': {
    host: 'gateways',
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'vote.example',
  },
  'ingress-nginx behind a balancer that ends TLS': {
    host: 'vote.example',
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-host': 'vote.example',
    'x-forwarded-port': '80',
    'x-forwarded-proto': 'https',
    'x-forwarded-scheme': 'https',
    'x-scheme': 'https',
  },
  Caddy: {
    host: 'vote.example',
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'vote.example',
  },
  Envoy: {
    host: 'vote.example',
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-proto': 'https',
    'x-envoy-external-address': '203.0.113.9',
  },
  'AWS ALB': {
    host: 'vote.example',
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-proto': 'https',
    'x-forwarded-port': '443',
  },
  'AWS ALB that also sends the client port': {
    host: 'vote.example',
    'x-forwarded-for': '203.0.113.9:51034',
    'x-forwarded-proto': 'https',
    'x-forwarded-port': '443',
  },
  'a proxy that shouts': { host: 'VOTE.example:443', 'x-forwarded-for': '203.0.113.9', 'x-forwarded-proto': 'HTTPS' },
  'two proxies that both append': {
    host: 'inner.example',
    'x-forwarded-for': '203.0.113.9, 172.16.0.3',
    'x-forwarded-proto': 'https,http',
    'x-forwarded-host': 'vote.example, inner.example',
  },
  'two proxies with Forwarded': {
    host: 'inner.example',
    forwarded: 'for=203.0.113.9;host=vote.example;proto=https, for="172.16.0.3:8080";host=inner.example;proto=http',
  },
}

describe('a page at https://vote.example reaches its own server through', () => {
  const isAllowed = createOriginCheck([])
  for (const [proxy, headers] of Object.entries(HANDSHAKES)) {
    test(proxy, () => {
      const handshake = { ...headers, origin: 'https://vote.example' }
      const trusted = proxy.startsWith('two') ? ['private', 'private'] : ['private']
      const peer = createPeerReader(trusted)(request('::ffff:10.0.0.2', handshake))
      assert.deepEqual(peer, { address: '203.0.113.9', origin: 'https://vote.example' })
      assert.ok(isAllowed(handshake, peer.origin))
      assert.ok(!isAllowed({ ...handshake, origin: 'https://evil.example' }, peer.origin))
    })
  }
})

describe('the origin', () => {
  const originOf = (headers: Record<string, string>) => createPeerReader(['private'])(request('10.0.0.2', headers)).origin

  test('is plain where a proxy says ws or http, or nothing', () => {
    for (const said of ['ws', 'http', 'WS', 'ftp', ''])
      assert.equal(originOf({ host: 'vote.example', 'x-forwarded-proto': said }), 'http://vote.example')
  })

  test('has a port only where it is not the one of the scheme', () => {
    for (const [scheme, host, origin] of [
      ['https', 'vote.example:443', 'https://vote.example'],
      ['https', 'vote.example:80', 'https://vote.example:80'],
      ['http', 'vote.example:80', 'http://vote.example'],
      ['wss', '[2001:DB8::1]:8443', 'https://[2001:db8::1]:8443'],
      ['wss', '[2001:db8::1]', 'https://[2001:db8::1]'],
    ] as const)
      assert.equal(originOf({ host, 'x-forwarded-proto': scheme }), origin)
  })

  test('has the port that a proxy sends apart, where the page has it too', () => {
    const said = { host: 'vote.example', 'x-forwarded-proto': 'https', 'x-forwarded-port': '8443' }
    assert.equal(originOf({ ...said, origin: 'https://vote.example:8443' }), 'https://vote.example:8443')
    assert.equal(originOf({ ...said, origin: 'https://vote.example' }), 'https://vote.example')
    for (const origin of ['http://vote.example:8443', 'https://evil.example:8443', 'https://vote.example:9000', 'null'])
      assert.equal(originOf({ ...said, origin }), 'https://vote.example', origin)
    assert.equal(
      originOf({ ...said, host: 'vote.example:9000', origin: 'https://vote.example:8443' }),
      'https://vote.example:9000',
      'a host with a port needs no other',
    )
  })

  test('is of the first that is a host', () => {
    for (const wrong of ['', 'evil.example/..', 'user@evil.example', 'a b', 'evil.example:port'])
      assert.equal(originOf({ host: 'vote.example', 'x-forwarded-host': wrong }), 'http://vote.example', wrong)
    assert.equal(originOf({ host: 'user@vote.example' }), 'http://localhost')
  })
})

describe('the client', () => {
  const addressOf = (trusted: string[], direct: string, forwardedFor: string) =>
    createPeerReader(trusted)(request(direct, { 'x-forwarded-for': forwardedFor })).address

  test('is not whom it puts in front of the real chain', () => {
    assert.equal(addressOf(['10.0.0.0/8', '10.0.0.9'], '10.0.0.2', '1.1.1.1, 192.0.2.7, 10.0.0.9'), '192.0.2.7')
  })

  test('is no further proxy for being in the range of one', () => {
    assert.equal(addressOf(['private'], '10.0.0.2', '8.8.8.8, 10.1.2.3'), '10.1.2.3')
    assert.equal(addressOf(['private', '192.0.2.1'], '10.0.0.2', '8.8.8.8, 10.1.2.3'), '10.1.2.3')
    assert.equal(addressOf(['private'], '10.0.0.2', '10.1.2.3'), '10.1.2.3')
  })

  test('is behind as many proxies as are trusted, in any order', () => {
    assert.equal(addressOf(['private', 'private'], '10.0.0.2', '8.8.8.8, 10.1.2.3'), '8.8.8.8')
    assert.equal(addressOf(['private', 'private'], '10.0.0.2', '1.1.1.1, 10.9.9.9, 10.1.2.3'), '10.9.9.9')
    assert.equal(addressOf(['192.0.2.1', 'private'], '10.0.0.2', '1.1.1.1, 8.8.8.8, 192.0.2.1'), '8.8.8.8')
    assert.equal(addressOf(['10.0.0.0/8', '10.1.0.0/16', '10.1.2.3'], '10.1.2.3', '8.8.8.8, 10.2.2.2, 10.1.9.9'), '8.8.8.8')
  })

  test('is the last proxy that names nobody, or nobody with an address', () => {
    assert.equal(addressOf(['private'], '10.0.0.2', ''), '10.0.0.2')
    for (const nobody of ['unknown', '_hidden', '999.1.1.1', '8.8.8.8, nobody', '[::1', '8.8.8.8:', '1.2.3.4:x'])
      assert.equal(addressOf(['private'], '10.0.0.2', nobody), '10.0.0.2', nobody)
  })

  test('has an address without a port and a zone, in the one form that it has', () => {
    for (const [said, address] of [
      ['203.0.113.9:4711', '203.0.113.9'],
      ['[2001:DB8:0::1]:4711', '2001:db8::1'],
      ['[2001:db8::1]', '2001:db8::1'],
      ['2001:db8::1', '2001:db8::1'],
      ['fe80::1%eth0', 'fe80::1'],
      ['[fe80::1%25eth0]:443', 'fe80::1'],
      ['::ffff:203.0.113.9', '203.0.113.9'],
    ] as const)
      assert.equal(addressOf(['private'], 'fd00::2', said), address)
  })

  test('is whom both fields name; where they differ, neither is believed', () => {
    const read = createPeerReader(['private'])
    const address = (headers: Record<string, string>) => read(request('10.0.0.2', headers)).address
    assert.equal(address({ 'x-forwarded-for': '203.0.113.9', forwarded: 'for=203.0.113.9' }), '203.0.113.9')
    assert.equal(address({ 'x-forwarded-for': '203.0.113.9', forwarded: 'for=8.8.8.8' }), '10.0.0.2')
    assert.equal(address({ 'x-forwarded-for': '203.0.113.9', forwarded: 'proto=https' }), '203.0.113.9')
  })
})

describe('Forwarded', () => {
  const read = (forwarded: string) =>
    createPeerReader(['private'])(request('10.0.0.2', { host: 'gateway', 'x-forwarded-for': '', forwarded }))

  test('has parameters in any case, order and quotes', () => {
    for (const field of [
      'for="[2001:db8::1]:4711";proto=https;by=203.0.113.43;host=vote.example',
      'Host="vote\\.example";PROTO=HTTPS;For="[2001:db8::1]"',
      ' for="[2001:db8::1]" ; host = vote.example; host="vote.example";proto=wss',
      ', for="[2001:db8::1]";ext="a,b;c=\\"d";proto=https;host=vote.example,',
    ])
      assert.deepEqual(read(field), { address: '2001:db8::1', origin: 'https://vote.example' }, field)
  })

  test('may be anything', () => {
    for (const field of ['', '"', 'for=', 'for="', 'for="8.8.8.8', 'for=unknown', 'a'.repeat(8_000), 'a="'.repeat(2_000)])
      assert.deepEqual(read(field), { address: '10.0.0.2', origin: 'http://gateway' }, field.slice(0, 20))
  })
})

describe('for any chain and any request', () => {
  const ipv4 = fc.ipV4()
  const address = fc.oneof(ipv4, fc.ipV6())
  const proxy = fc.integer({ min: 1, max: 254 }).map((last) => `10.0.0.${last}`)
  const written = (hop: string, port: number | undefined) =>
    port === undefined ? hop : `${hop.includes(':') ? `[${hop}]` : hop}:${port}`
  const inOneForm = (hop: string) => createPeerReader([])(request(hop)).address

  test('the client that the outermost trusted proxy saw is found, whatever it made up', () => {
    fc.assert(
      fc.property(
        fc.array(address, { maxLength: 4 }),
        address.filter((client) => !client.startsWith('10.')),
        fc.array(proxy, { minLength: 1, maxLength: 4 }),
        fc.option(fc.nat(65_535), { nil: undefined }),
        fc.boolean(),
        (madeUp, client, proxies, port, isStandard) => {
          const [direct = '', ...others] = proxies.toReversed()
          const hops = [...madeUp, client, ...others.toReversed()].map((hop) => written(hop, port))
          const headers: Record<string, string> = isStandard
            ? { forwarded: hops.map((hop) => `for="${hop}"`).join(',') }
            : { 'x-forwarded-for': hops.join(', ') }
          const read = createPeerReader(proxies.map(() => '10.0.0.0/8'))
          assert.equal(read(request(direct, headers)).address, inOneForm(client))
        },
      ),
    )
  })

  test('nothing throws, and an address and an origin come out', () => {
    const fields = fc.dictionary(
      fc.constantFrom(
        'host',
        'origin',
        'forwarded',
        'x-forwarded-for',
        'x-forwarded-proto',
        'x-forwarded-host',
        'x-forwarded-port',
      ),
      fc.oneof(fc.string({ unit: 'binary-ascii' }), fc.webAuthority({ withPort: true, withIPv4: true, withIPv6: true }), address),
    )
    fc.assert(
      fc.property(fields, address, (headers, direct) => {
        const peer = createPeerReader(['0.0.0.0/0', '::/0', 'private'])(request(direct, headers))
        assert.equal(peer.address, inOneForm(peer.address))
        assert.equal(new URL(peer.origin).origin, peer.origin)
      }),
      { numRuns: 500 },
    )
  })
})

describe('TRUST_PROXY', () => {
  const variables = { TRUST_PROXY: { schema: list(proxyItem), description: '', fallback: '' } }
  const complaintOf = (value: string): string => {
    try {
      readEnv(variables, { TRUST_PROXY: value })
      return ''
    } catch (error) {
      assert.ok(error instanceof ConfigError)
      return error.problems.join('\n')
    }
  }

  test('takes addresses, CIDR ranges and well-known names', () => {
    for (const good of ['127.0.0.1', '10.0.0.0/8', '::1', 'fc00::/7', 'loopback', 'private', 'private, private, 192.0.2.1'])
      assert.equal(complaintOf(good), '', good)
  })

  test('says which item is wrong, and what would be right', () => {
    for (const [bad, item, right] of [
      ['private, proxy', 'proxy', /address, a CIDR range such as 10\.0\.0\.0\/8, "loopback" or "private"/],
      ['true', 'true', /must name each proxy/],
      ['2', '2', /must name each proxy/],
      ['*', '*', /must name each proxy/],
      ['constructor', 'constructor', /must name each proxy/],
      ['fe80::1%eth0', 'fe80::1%eth0', /must name each proxy/],
      ['10.0.0.0/8/8', '10.0.0.0/8/8', /must name each proxy/],
      ['10.0.0.0/33', '10.0.0.0/33', /0 to 32 after the slash of an IPv4 range/],
      ['10.0.0.0/', '10.0.0.0/', /0 to 32 after the slash/],
      ['fc00::/129', 'fc00::/129', /0 to 128 after the slash of an IPv6 range/],
      ['::ffff:10.0.0.0/104', '::ffff:10.0.0.0/104', /IPv4 addresses and ranges in dotted form/],
    ] as const) {
      assert.match(complaintOf(bad), right)
      assert.ok(complaintOf(bad).includes(`${JSON.stringify(item)} is none`), complaintOf(bad))
    }
  })
})
