import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request, type IncomingMessage, type Server } from 'node:http'
import { test, type TestContext } from 'node:test'
import { createAdaptorServer } from '@hono/node-server'
import { listen } from '../../shared/lifecycle/http-server.ts'
import type { Probes } from '../../shared/lifecycle/probes.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import { createApp } from './app.ts'
import { createOriginCheck } from '../access/allowed-origins.ts'
import { createRequestLimits } from '../access/request-limits.ts'
import type { Page } from './static-pages.ts'

const SELF = 'https://votes.example.org'
const FRIEND = 'https://news.example.org'
const STRANGER = 'https://evil.example.com'

const variant = { body: new Uint8Array(), etag: '"a"', headers: { vary: 'accept-encoding', etag: '"a"' } }
const page: Page = { identity: variant, gzip: variant, br: variant }
const unlimited = createRequestLimits({ quotas: { votes: 0, voters: 0, histories: 0 } })
const silent = () => {}
const LOG: Log = { debug: silent, info: silent, warn: silent, error: silent, child: () => LOG }

/** A server as the gateway has it, and how to ask it. */
async function serverFor(t: TestContext, allowedOrigins: readonly string[]) {
  const app = createApp({
    probes: {} as Probes,
    fetch: async () => Response.json({ polls: [] }, { headers: { vary: 'cookie' } }),
    castVote: async () => ({ status: 200, headers: { vary: 'cookie' }, body: '{}' }),
    pages: new Map(
      ['module.js', 'pages/results.html', 'pages/vote.html', 'pages/admin.html'].map((name) => [`/assets/${name}`, page]),
    ),
    readPeer: () => ({ address: '192.0.2.1', origin: SELF }),
    isOriginAllowed: createOriginCheck(allowedOrigins),
    limits: unlimited,
    allowedOrigins,
    log: LOG,
  })
  const server = createAdaptorServer({ fetch: app.fetch }) as Server
  const port = await listen(server, { port: 0, host: '127.0.0.1' })
  t.after(() => server.close())
  return async (path: string, headers: Record<string, string> = {}, method = 'GET') => {
    const asked = request({ port, host: '127.0.0.1', path, method, headers, agent: false }).end()
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    await once(answer.resume(), 'end')
    return { status: answer.statusCode, header: (name: string) => answer.headers[name]?.toString() }
  }
}

test('an allowed origin is named in full on modules and on what may be read; a stranger is not, nor is anyone with a wildcard', async (t) => {
  const ask = await serverFor(t, [FRIEND])
  for (const path of ['/assets/module.js', '/api/polls', '/api/polls/tea/history']) {
    const friend = await ask(path, { origin: FRIEND })
    assert.equal(friend.header('access-control-allow-origin'), FRIEND, path)
    assert.equal(friend.header('access-control-allow-credentials'), undefined, path)
    for (const origin of [STRANGER, `${FRIEND}.evil.example.com`, 'null']) {
      const stranger = await ask(path, { origin })
      assert.equal(stranger.header('access-control-allow-origin'), undefined, path)
      assert.match(stranger.header('vary') ?? '', /origin/i, 'what a stranger got must not be kept for a friend')
    }
  }
  assert.equal((await ask('/assets/module.js')).header('vary'), 'accept-encoding, origin')
  assert.equal((await ask('/api/polls')).header('vary'), 'cookie, origin')
})

test('cookies go along only where a ballot is read or cast', async (t) => {
  const ask = await serverFor(t, [FRIEND])
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
    assert.equal(answered.header('access-control-expose-headers'), 'retry-after')
    const refused = await ask(path, { ...preflight, origin: STRANGER }, 'OPTIONS')
    assert.equal(refused.header('access-control-allow-origin'), undefined)
    assert.equal(refused.header('access-control-allow-methods'), undefined)
  }
})

test('nothing of the organiser is shared with another origin, however allowed', async (t) => {
  const ask = await serverFor(t, [FRIEND])
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
    assert.equal(answered.header('access-control-allow-origin'), undefined, `${method} ${path}`)
  }
})

test('results may be framed by allowed origins, everything else by nobody', async (t) => {
  const ask = await serverFor(t, [FRIEND])
  const framed = await ask('/p/tea/results?view=overlay')
  assert.match(framed.header('content-security-policy') ?? '', /frame-ancestors 'self' https:\/\/news\.example\.org$/)
  assert.equal(framed.header('x-frame-options'), undefined)
  for (const path of ['/p/tea', '/admin', '/p/tea/results/more', '/p/results', '/nowhere']) {
    const closed = await ask(path)
    assert.match(closed.header('content-security-policy') ?? '', /frame-ancestors 'none'$/, path)
    assert.equal(closed.header('x-frame-options'), 'DENY', path)
  }
})

test('files that allowed origins load say so, pages and the API do not', async (t) => {
  const ask = await serverFor(t, [FRIEND])
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

test('where nobody is allowed, nothing is for other origins', async (t) => {
  const ask = await serverFor(t, [])
  const answered = await ask('/assets/module.js', { origin: FRIEND })
  assert.equal(answered.header('access-control-allow-origin'), undefined)
  assert.equal(answered.header('cross-origin-resource-policy'), 'same-origin')
  assert.match((await ask('/p/tea/results')).header('content-security-policy') ?? '', /frame-ancestors 'self'$/)
})
