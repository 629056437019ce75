import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Probes } from '../shared/lifecycle/probes.ts'
import type { Log } from '../shared/telemetry/log.ts'
import { createApp } from './app.ts'
import { createOriginCheck } from './origin.ts'
import type { Page } from './pages.ts'

const SELF = 'https://votes.example.org'
const FRIEND = 'https://news.example.org'
const STRANGER = 'https://evil.example.com'

const variant = { body: new Uint8Array(), etag: '"a"', headers: { vary: 'accept-encoding', etag: '"a"' } }
const page: Page = { identity: variant, gzip: variant, br: variant }
const silent = () => {}
const LOG: Log = { debug: silent, info: silent, warn: silent, error: silent, child: () => LOG }

function appFor(allowedOrigins: readonly string[]) {
  const app = createApp({
    probes: {} as Probes,
    api: async () => Response.json({ polls: [] }, { headers: { vary: 'cookie' } }),
    pages: new Map(
      ['module.js', 'pages/results.html', 'pages/vote.html', 'pages/admin.html'].map((name) => [`/assets/${name}`, page]),
    ),
    readPeer: () => ({ address: '192.0.2.1', origin: SELF }),
    isOriginAllowed: createOriginCheck(allowedOrigins),
    allowedOrigins,
    log: LOG,
  })
  return async (path: string, headers: Record<string, string> = {}, method = 'GET') => {
    const incoming = { headers, socket: { remoteAddress: '192.0.2.1' } }
    const { status, headers: answered } = await app.request(path, { method, headers }, { incoming })
    return { status, header: (name: string) => answered.get(name) }
  }
}

test('an allowed origin is named in full on modules and on what may be read; a stranger is not, nor is anyone with a wildcard', async () => {
  const ask = appFor([FRIEND])
  for (const path of ['/assets/module.js', '/api/polls', '/api/polls/tea/history']) {
    const friend = await ask(path, { origin: FRIEND })
    assert.equal(friend.header('access-control-allow-origin'), FRIEND, path)
    assert.equal(friend.header('access-control-allow-credentials'), null, path)
    for (const origin of [STRANGER, `${FRIEND}.evil.example.com`, 'null']) {
      const stranger = await ask(path, { origin })
      assert.equal(stranger.header('access-control-allow-origin'), null, path)
      assert.match(stranger.header('vary') ?? '', /origin/i, 'what a stranger got must not be kept for a friend')
    }
  }
  assert.equal((await ask('/assets/module.js')).header('vary'), 'accept-encoding, origin')
  assert.equal((await ask('/api/polls')).header('vary'), 'cookie, origin')
})

test('cookies go along only where a ballot is read or cast', async () => {
  const ask = appFor([FRIEND])
  for (const [path, method] of [
    ['/api/polls/tea', 'GET'],
    ['/api/polls/tea/vote', 'PUT'],
  ] as const) {
    const preflight = { origin: FRIEND, 'access-control-request-method': method }
    const asked = await ask(path, preflight, 'OPTIONS')
    assert.equal(asked.status, 204)
    assert.equal(asked.header('access-control-allow-origin'), FRIEND)
    assert.equal(asked.header('access-control-allow-credentials'), 'true')
    assert.equal(asked.header('access-control-allow-methods'), 'GET, PUT')
    const answered = await ask(path, { origin: FRIEND }, method)
    assert.equal(answered.header('access-control-allow-credentials'), 'true')
    const refused = await ask(path, { ...preflight, origin: STRANGER }, 'OPTIONS')
    assert.equal(refused.header('access-control-allow-origin'), null)
    assert.equal(refused.header('access-control-allow-methods'), null)
  }
})

test('nothing of the organiser is shared with another origin, however allowed', async () => {
  const ask = appFor([FRIEND])
  for (const [path, method] of [
    ['/api/polls', 'POST'],
    ['/api/polls/tea', 'PATCH'],
    ['/api/polls/tea', 'DELETE'],
    ['/api/polls/tea/reset', 'POST'],
    ['/api/polls/tea/tickets', 'POST'],
    ['/api/polls/tea/export.csv', 'GET'],
    ['/api/gateways', 'GET'],
  ] as const) {
    const preflight = {
      origin: FRIEND,
      'access-control-request-method': method,
      'access-control-request-headers': 'authorization',
    }
    const asked = await ask(path, preflight, 'OPTIONS')
    assert.doesNotMatch(asked.header('access-control-allow-methods') ?? '', new RegExp(method === 'GET' ? 'HEAD' : method), path)
    assert.doesNotMatch(asked.header('access-control-allow-headers') ?? '', /authorization/i, path)
    const answered = await ask(path, { origin: FRIEND }, method)
    assert.equal(answered.header('access-control-allow-origin'), null, `${method} ${path}`)
  }
})

test('results may be framed by allowed origins, everything else by nobody', async () => {
  const ask = appFor([FRIEND])
  const framed = await ask('/p/tea/results?view=overlay')
  assert.match(framed.header('content-security-policy') ?? '', /frame-ancestors 'self' https:\/\/news\.example\.org$/)
  assert.equal(framed.header('x-frame-options'), null)
  for (const path of ['/p/tea', '/admin', '/p/tea/results/more', '/p/results', '/nowhere']) {
    const closed = await ask(path)
    assert.match(closed.header('content-security-policy') ?? '', /frame-ancestors 'none'$/, path)
    assert.equal(closed.header('x-frame-options'), 'DENY', path)
  }
})

test('files that allowed origins load say so, pages and the API do not', async () => {
  const ask = appFor([FRIEND])
  for (const [path, policy] of [
    ['/assets/module.js', 'cross-origin'],
    ['/p/tea/qr.svg', 'cross-origin'],
    ['/p/tea/results', 'cross-origin'],
    ['/p/tea', 'same-origin'],
    ['/admin', 'same-origin'],
    ['/api/polls', 'same-origin'],
  ] as const)
    assert.equal((await ask(path)).header('cross-origin-resource-policy'), policy, path)
})

test('where nobody is allowed, nothing is for other origins', async () => {
  const ask = appFor([])
  const answered = await ask('/assets/module.js', { origin: FRIEND })
  assert.equal(answered.header('access-control-allow-origin'), null)
  assert.equal(answered.header('cross-origin-resource-policy'), 'same-origin')
  assert.match((await ask('/p/tea/results')).header('content-security-policy') ?? '', /frame-ancestors 'self'$/)
})
