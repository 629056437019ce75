import assert from 'node:assert/strict'
import { once } from 'node:events'
import { get, request, type IncomingMessage, type OutgoingHttpHeaders, type Server } from 'node:http'
import type { Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { createAdaptorServer } from '@hono/node-server'
import { listen } from '../../shared/lifecycle/http-server.ts'
import type { Probes } from '../../shared/lifecycle/probes.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import { createOriginCheck } from '../access/allowed-origins.ts'
import { createPeerReader } from '../access/client-address.ts'
import { createRequestLimits } from '../access/request-limits.ts'
import type { ApiRequest } from '../api/api.ts'
import { createApp, type AppOptions } from './app.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

const unlimited = createRequestLimits({ quotas: { votes: 0, voters: 0, histories: 0 } })
const FRIEND = 'https://news.example.org'
const VOTE = '/api/polls/tea/vote'

/** Answers with what it was asked, so that the test can compare what reaches the API on both ways. */
const answerTo = (said: string, more: object, requestId: string) => {
  if (said === 'fail') throw new Error('a fault of our own')
  return {
    status: 201,
    headers: { 'content-type': 'application/json', vary: 'cookie', 'x-request-id': requestId },
    body: JSON.stringify({ ...more, said }),
  }
}
const fetch: AppOptions['fetch'] = async ({ target, headers, body }) => {
  const { cookie, 'livetally-ticket': ticket, 'x-forwarded-proto': scheme, 'x-request-id': requestId = '' } = headers
  const said = Buffer.from(body ?? []).toString()
  const poll = /^\/api\/polls\/([^/]+)\/vote$/.exec(target)?.[1]
  const answer = answerTo(said, { poll, cookie, ticket, isSecure: scheme === 'https', requestId }, requestId)
  return new Response(answer.body, answer)
}
const castVote: AppOptions['castVote'] = async ({ body, poll, cookie, ticket, isSecure, requestId }) =>
  answerTo(body, { poll, cookie, ticket, isSecure, requestId }, requestId)

/** Sends the same request as a vote and, with a target that needs parsing, on the way of all other requests. */
async function waysOf(t: TestContext, options: { allowedOrigins?: string[]; trustedProxies?: string[] } = {}) {
  const { allowedOrigins = [], trustedProxies = [] } = options
  const noted: unknown[] = []
  const note =
    (level: string) =>
    (fields: object, message: string): void =>
      void noted.push([level, message, { ...fields, seconds: 0 }])
  const log: Log = { debug: note('debug'), info: note('info'), warn: note('warn'), error: note('error'), child: () => log }
  const app = createApp({
    probes: {} as Probes,
    fetch,
    castVote,
    pages: new Map(),
    readPeer: createPeerReader(trustedProxies),
    isOriginAllowed: createOriginCheck(allowedOrigins),
    limits: unlimited,
    allowedOrigins,
    log,
    onAnswered: (method, status, seconds) => noted.push([method, status, seconds >= 0]),
  })
  const server = createAdaptorServer({ fetch: app.fetch }) as Server
  const port = await listen(server, { port: 0, host: '127.0.0.1' })
  t.after(() => server.close())
  const ask = async (path: string, { headers = {}, body = '{}' }: { headers?: OutgoingHttpHeaders; body?: string }) => {
    noted.length = 0
    const asked = request({ port, host: '127.0.0.1', path, method: 'PUT', headers, agent: false })
    asked.on('error', () => {})
    asked.end(body)
    const [answer] = (await once(asked, 'response')) as [IncomingMessage]
    const chunks: Buffer[] = []
    for await (const chunk of answer) chunks.push(chunk as Buffer)
    return { status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks).toString(), noted: [...noted] }
  }
  return async (given: { headers?: OutgoingHttpHeaders; body?: string }) => {
    const [vote, other] = [await ask(VOTE, given), await ask(`${VOTE}?`, given)]
    return { vote: plain(vote), other: plain(other), status: vote.status, said: vote.body }
  }
}

/** Removes what differs from one request to the next. */
function plain(answer: object): string {
  return JSON.stringify(answer)
    .replaceAll(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'a uuid')
    .replaceAll(/"date":"[^"]+"/g, '"date":"now"')
    .replaceAll(/"err":\{[^}]*\}/g, '"err":{}')
}

const json = { 'content-type': 'application/json' }

test('a vote is treated like every other request', async (t) => {
  const compare = await waysOf(t)
  const cases: readonly (readonly [name: string, status: number, given: Parameters<typeof compare>[0]])[] = [
    ['plain', 201, { headers: { ...json, cookie: 'voter=a.b' }, body: '{"option":"cats"}' }],
    ['no body', 201, { headers: json, body: '' }],
    ['a ticket', 201, { headers: { ...json, 'livetally-ticket': 'abc' } }],
    ['another media type', 201, { headers: { 'content-type': 'text/plain' } }],
    ['a media type with parameters', 201, { headers: { 'content-type': 'Application/JSON; charset=utf-8' } }],
    ['a request id', 201, { headers: { ...json, 'x-request-id': 'a-b_c=1' } }],
    ['no request id', 201, { headers: { ...json, 'x-request-id': '' } }],
    ['a bad request id', 201, { headers: { ...json, 'x-request-id': 'a b' } }],
    ['a long request id', 201, { headers: { ...json, 'x-request-id': 'a'.repeat(256) } }],
    ['two request ids', 201, { headers: { ...json, 'x-request-id': ['a', 'b'] } }],
    ['made-up forwarding', 201, { headers: { ...json, 'x-forwarded-for': '192.0.2.9', forwarded: 'for=x', 'x-real-ip': '1' } }],
    ['hop-by-hop headers', 201, { headers: { ...json, connection: 'close, x-hop', 'x-hop': '1', te: 'trailers' } }],
    ['chunked', 201, { headers: { ...json, 'transfer-encoding': 'chunked' } }],
    ['too large', 413, { headers: json, body: 'x'.repeat(65_537) }],
    ['too large, chunked', 413, { headers: { ...json, 'transfer-encoding': 'chunked' }, body: 'x'.repeat(65_537) }],
    ['another origin', 403, { headers: { ...json, origin: 'https://evil.example.com' } }],
    ['another site', 403, { headers: { ...json, 'sec-fetch-site': 'cross-site' } }],
    ['a fault', 500, { headers: { ...json, 'x-request-id': 'abc' }, body: 'fail' }],
    ['no such host', 400, { headers: { ...json, host: 'a b' } }],
    ['another host', 201, { headers: { ...json, host: 'votes.example.org:81' } }],
  ]
  for (const [name, status, given] of cases) {
    const compared = await compare(given)
    assert.equal(compared.vote, compared.other, name)
    assert.equal(compared.status, status, name)
  }
})

test('of its cookies a vote brings the voter cookie alone, and of that no more than one has', async (t) => {
  const compare = await waysOf(t, { trustedProxies: ['loopback'] })
  const tls = { 'x-forwarded-for': '192.0.2.9', 'x-forwarded-proto': 'https' }
  const cookies: readonly (readonly [sent: string, cookie: string | undefined, more?: object])[] = [
    ['theme=dark; voter=a.b%3D; session="1"', 'voter=a.b%3D'],
    ['voter=a.b=; voter=c.d', 'voter=a.b%3D'],
    ['voter="a.b"; __Host-voter=c.d', 'voter=a.b'],
    ['voter=a.b; __Host-voter=c.d', '__Host-voter=c.d', tls],
    ['theme=dark', undefined],
    [`voter=${'x'.repeat(4_000)}`, `voter=${'x'.repeat(200)}`],
  ]
  for (const [sent, cookie, more] of cookies) {
    const { said } = await compare({ headers: { ...json, ...more, cookie: sent } })
    assert.equal((JSON.parse(said) as { cookie?: string }).cookie, cookie, sent)
  }
})

test('a ticket that is longer than any is refused, and says so', async (t) => {
  const compare = await waysOf(t)
  assert.equal((await compare({ headers: { ...json, 'livetally-ticket': 'x'.repeat(200) } })).status, 201)
  const { status, said } = await compare({ headers: { ...json, 'livetally-ticket': '"'.repeat(201) } })
  assert.equal(status, 400)
  assert.match(said, /bad-request.*Livetally-Ticket may have 200 characters at most/)
})

test('an allowed origin is answered by its name', async (t) => {
  const compare = await waysOf(t, { allowedOrigins: [FRIEND] })
  for (const origin of [FRIEND, 'https://evil.example.com', undefined]) {
    const { vote, other } = await compare({ headers: { ...json, ...(origin === undefined ? {} : { origin }) } })
    assert.equal(vote, other)
    assert.equal(vote.includes(`"access-control-allow-origin":"${FRIEND}"`), origin === FRIEND)
  }
})

test('a trusted proxy is believed', async (t) => {
  const compare = await waysOf(t, { trustedProxies: ['loopback'] })
  const headers = {
    ...json,
    'x-forwarded-for': '192.0.2.9, 127.0.0.1',
    'x-forwarded-proto': 'https',
    'x-forwarded-host': 'v.org',
  }
  const { vote, other, said } = await compare({ headers })
  assert.equal(vote, other)
  assert.match(said, /"isSecure":true/)
})

test('a read says whether its sender is still there', async (t) => {
  const asked = Promise.withResolvers<ApiRequest>()
  const app = createApp({
    probes: {} as Probes,
    fetch: (read) => {
      asked.resolve(read)
      return new Promise(() => {})
    },
    castVote,
    pages: new Map(),
    readPeer: createPeerReader([]),
    isOriginAllowed: createOriginCheck([]),
    limits: unlimited,
    allowedOrigins: [],
    log: silent,
  })
  const server = createAdaptorServer({ fetch: app.fetch }) as Server
  const port = await listen(server, { port: 0, host: '127.0.0.1' })
  t.after(() => server.close())
  const connected = once(server, 'connection') as Promise<[Socket]>
  const reader = get({ port, host: '127.0.0.1', path: '/api/polls/tea', agent: false }).on('error', () => {})
  t.after(() => reader.destroy())
  const { isAwaited } = await asked.promise
  assert.equal(isAwaited?.(), true)
  const closed = once((await connected)[0], 'close')
  reader.destroy()
  await closed
  assert.equal(isAwaited?.(), false)
})
