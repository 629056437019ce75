import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createOriginCheck, originItem } from './allowed-origins.ts'

const SELF = 'https://vote.example'

test('a page may act whose origin is the very one of the server or an allowed one, and no other', () => {
  const isAllowed = createOriginCheck(['https://show.example', 'http://localhost:3000'])
  for (const origin of [SELF, 'https://show.example', 'http://localhost:3000']) assert.ok(isAllowed({ origin }, SELF), origin)
  for (const origin of [
    'null',
    '',
    'https://evilshow.example',
    'https://www.show.example',
    'https://show.example.evil.example',
    'https://show.example:8443',
    'https://example',
    'http://show.example',
    'http://localhost:30001',
    'https://SHOW.example',
    'https://show.example/',
  ]) {
    assert.ok(!isAllowed({ origin }, SELF), origin)
  }
})

test('a request without an origin may act, unless the browser says that a page of another one sends it', () => {
  const isAllowed = createOriginCheck(['https://show.example'])
  for (const [site, may] of [
    [undefined, true],
    ['none', true],
    ['same-origin', true],
    ['same-site', false],
    ['cross-site', false],
  ] as const) {
    assert.equal(isAllowed(site === undefined ? {} : { 'sec-fetch-site': site }, SELF), may, site ?? 'no site')
  }
})

test('an allowed origin is one as browsers write it', () => {
  assert.ok(originItem.safeParse('https://show.example').success)
  for (const item of ['show.example', 'https://show.example/', 'https://show.example/page', 'https://*.example', 'null']) {
    assert.ok(!originItem.safeParse(item).success, item)
  }
})
