/** Real nginx, HAProxy and Caddy end TLS before real gateways, each with the configuration that the project ships for it. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { connect, type IncomingHttpHeaders as Http2Headers, type Settings } from 'node:http2'
import { request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { createTallyClient } from '../gateway/web/client/tally-client.ts'
import { SUBPROTOCOL, type TallyFrame } from '../shared/protocol/frames.ts'
import { Problem, PROBLEM_CONTENT_TYPE } from '../shared/protocol/problem.ts'
import { startCaddy } from './support/caddy-service.ts'
import { makeCertificate, type Certificate } from './support/certificate.ts'
import { startCluster, type Cluster } from './support/cluster.ts'
import { providePrograms } from './support/debian.ts'
import { freePort } from './support/free-port.ts'
import { startShippedHaproxy } from './support/haproxy-service.ts'
import { startNginx } from './support/nginx-service.ts'
import type { ProxyOptions, TlsProxy } from './support/proxy.ts'
import { watch, type Watcher } from './support/watcher.ts'

/** Longer than a gateway of HAProxy and Caddy is asked for its readiness, and than nginx leaves a gateway alone. */
const NOTICE_MS = 3_000
/** Above the minute after which many proxies cut what is quiet. */
const QUIET_MS = 90_000
/** Each with a quiet socket of its own, which follows a poll without votes. */
const PROXIES = ['nginx', 'haproxy', 'caddy', 'nginx before haproxy'] as const
type ProxyName = (typeof PROXIES)[number]
/** Those that carry WebSockets over HTTP/2 to the client (RFC 8441). Debian's Caddy and nginx leave browsers to HTTP/1.1. */
const SPEAKS_RFC_8441 = new Set<ProxyName>(['haproxy'])

const pollOf = (poll: string) => ({ poll, question: 'Tea?', options: ['yes', 'no'].map((id) => ({ id, label: id })) })

let certificate: Certificate
let cluster: Cluster
let gatewayPorts: number[]
const running = new Map<ProxyName, TlsProxy>()
const quiet = new Map<ProxyName, { readonly watcher: Watcher; readonly since: number }>()
const urlOf = (name: ProxyName) => running.get(name)?.url ?? ''

/** Starts one proxy before gateways at the given ports; two for a chain, the first of which ends TLS. */
async function start(name: ProxyName, gateways: readonly number[]): Promise<TlsProxy> {
  const options: ProxyOptions = { gateways, certificate }
  if (name === 'nginx') return await startNginx(options)
  if (name === 'haproxy') return await startShippedHaproxy(options)
  if (name === 'caddy') return await startCaddy(options)
  const inner = await startShippedHaproxy({ gateways, frontProxy: '127.0.0.1' })
  const outer = await startNginx({ ...options, gateways: [Number(new URL(inner.plainUrl).port)] })
  const stop = () => Promise.all([inner[Symbol.asyncDispose](), outer[Symbol.asyncDispose]()])
  return { ...outer, [Symbol.asyncDispose]: async () => void (await stop()) }
}

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

/** Asks over TLS, trusting the certificate of the test alone. */
async function ask(
  url: string,
  options: { method?: string; headers?: Record<string, string>; body?: string } = {},
): Promise<Answer> {
  const { method = 'GET', headers = {}, body } = options
  const asked = request(url, { method, headers, ca: certificate.ca, agent: false }).end(body)
  const [response] = (await once(asked, 'response', { signal: AbortSignal.timeout(20_000) })) as [IncomingMessage]
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) text += String(chunk)
  return { status: response.statusCode ?? 0, headers: response.headers, text }
}

/** A browser that is at a proxy: it keeps its cookie, and its page says where it comes from. */
async function openPage(url: string, poll: string) {
  const greeting = await ask(`${url}/api/polls/${poll}`)
  const setCookie = greeting.headers['set-cookie']?.[0] ?? ''
  const cookie = setCookie.split(';', 1)[0] ?? ''
  const vote = (option: string, origin = url) =>
    ask(`${url}/api/polls/${poll}/vote`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', cookie, origin, 'sec-fetch-site': 'same-origin' },
      body: JSON.stringify({ option }),
    })
  return { setCookie, vote }
}

before(async () => {
  await providePrograms(['nginx', 'haproxy', 'caddy', 'openssl'])
  certificate = await makeCertificate()
  cluster = await startCluster({
    gateways: 3,
    env: {
      TRUST_PROXY: 'loopback,loopback',
      DRAIN_NOTICE_MS: String(NOTICE_MS),
      DRAIN_SPREAD_MS: '1000',
      DRAIN_DEADLINE_MS: '25000',
    },
  })
  gatewayPorts = cluster.gateways.map(({ url }) => Number(new URL(url).port))
  for (const poll of ['tea', 'quiet', 'drain']) await cluster.admin('POST', '/api/polls', pollOf(poll))
  for (const name of PROXIES) running.set(name, await start(name, gatewayPorts))
  for (const name of PROXIES) {
    const watcher = await watch(urlOf(name), ['quiet'], { ca: certificate.ca, origin: urlOf(name) })
    await watcher.until((frame) => frame.type === 'tally')
    quiet.set(name, { watcher, since: performance.now() })
  }
})
after(async () => {
  for (const { watcher } of quiet.values()) watcher.close()
  await Promise.all([...running.values()].map((proxy) => proxy[Symbol.asyncDispose]()))
  await cluster?.[Symbol.asyncDispose]()
  await certificate?.[Symbol.asyncDispose]()
})

for (const name of PROXIES) {
  describe(`behind ${name}`, () => {
    test('the page comes over TLS, with HSTS, and who comes plain is sent there', async () => {
      const page = await ask(`${urlOf(name)}/p/tea`)
      assert.equal(page.status, 200)
      assert.match(page.text, /<html/)
      assert.match(String(page.headers['strict-transport-security']), /^max-age=31536000$/)
      const plain = await fetch(`${running.get(name)?.plainUrl}/p/tea?a=b`, { redirect: 'manual' })
      assert.equal(plain.status, 308)
      assert.match(plain.headers.get('location') ?? '', /^https:\/\/localhost(:\d+)?\/p\/tea\?a=b$/)
    })

    test('a page votes with a cookie that only TLS carries, and a page of another origin does not vote', async () => {
      const page = await openPage(urlOf(name), 'tea')
      assert.match(page.setCookie, /^__Host-voter=[^;]+;(?=.*; Secure)(?=.*; HttpOnly)(?=.*; Path=\/)/i)
      assert.equal((await page.vote('yes')).status, 200)
      for (const origin of ['https://evil.example', urlOf(name).replace('https', 'http'), 'https://localhost'])
        assert.equal((await page.vote('no', origin)).status, 403, origin)
    })

    test('a page opens a socket, and a page of another origin does not', async () => {
      const url = urlOf(name)
      const watcher = await watch(url, ['tea'], { ca: certificate.ca, origin: url })
      await watcher.until((frame) => frame.type === 'tally')
      watcher.close()
      for (const origin of ['https://evil.example', url.replace('https', 'http')])
        await assert.rejects(watch(url, ['tea'], { ca: certificate.ca, origin }), /403/)
    })

    test(`WebSockets over HTTP/2 are ${SPEAKS_RFC_8441.has(name) ? 'carried' : 'not offered, so that browsers use HTTP/1.1'}`, async (t) => {
      const url = urlOf(name)
      const session = connect(url, { ca: certificate.ca })
      t.after(() => session.destroy())
      const [{ enableConnectProtocol }] = (await once(session, 'remoteSettings')) as [Settings]
      assert.equal(enableConnectProtocol ?? false, SPEAKS_RFC_8441.has(name))
      if (!SPEAKS_RFC_8441.has(name)) return
      const socket = session.request({
        ':method': 'CONNECT',
        ':protocol': 'websocket',
        ':path': '/ws?poll=tea',
        origin: url,
        'sec-websocket-version': '13',
        'sec-websocket-protocol': SUBPROTOCOL,
      })
      const [headers] = (await once(socket, 'response')) as [Http2Headers]
      assert.equal(headers[':status'], 200)
      assert.equal(headers['sec-websocket-protocol'], SUBPROTOCOL)
      let bytes = ''
      for await (const chunk of socket.setEncoding('latin1')) {
        bytes += String(chunk)
        if (bytes.includes('"type":"tally"')) break
      }
      assert.match(bytes, /"poll":"tea"/)
    })

    test('what a client says of itself is not passed on', async (t) => {
      const gateway = await startMirror(t)
      const proxy = await start(name, [gateway.port])
      t.after(() => proxy[Symbol.asyncDispose]())
      const lies = {
        'x-forwarded-for': '8.8.8.8',
        'x-forwarded-proto': 'http',
        'x-forwarded-host': 'evil.example',
        'x-forwarded-port': '8443',
        forwarded: 'for=8.8.8.8;proto=http;host=evil.example',
      }
      const { text } = await eventually(
        () => ask(`${proxy.url}/p/tea`, { headers: lies }),
        ({ status }) => status === 200,
      )
      const seen = JSON.parse(text) as Record<string, string>
      assert.doesNotMatch(text, /8\.8\.8\.8|evil\.example|8443/)
      assert.equal(seen['x-forwarded-proto'], 'https')
      assert.equal(seen['x-forwarded-for'], name === 'nginx before haproxy' ? '127.0.0.1, 127.0.0.1' : '127.0.0.1')
      assert.equal(seen['host'], new URL(proxy.url).host)
    })

    test('what no gateway answers is a problem all the same', async (t) => {
      const nobody = await freePort()
      const proxy = await start(name, [nobody])
      t.after(() => proxy[Symbol.asyncDispose]())
      const { status, headers, text } = await ask(`${proxy.url}/api/polls/tea`)
      assert.equal(status, 503)
      assert.equal(headers['content-type'], PROBLEM_CONTENT_TYPE)
      assert.equal(headers['retry-after'], '1')
      const said = Problem.parse(JSON.parse(text))
      assert.equal(said.type, '/problems/unavailable')
      assert.equal(said.status, 503)
    })

    test('a refusal of a gateway is passed on as it is', async () => {
      const { status, headers, text } = await ask(`${urlOf(name)}/api/polls/there-is-none`)
      assert.equal(status, 404)
      assert.equal(headers['content-type'], PROBLEM_CONTENT_TYPE)
      assert.equal(Problem.parse(JSON.parse(text)).type, '/problems/unknown-poll')
    })
  })
}

/** Of one handshake, from a balancer at the gateway's own machine. */
const SAID: Readonly<Record<string, Record<string, string>>> = {
  'as Traefik does': {
    'x-forwarded-for': '203.0.113.9',
    'x-forwarded-host': 'vote.example',
    'x-forwarded-port': '443',
    'x-forwarded-proto': 'wss',
  },
  'twice in one field': { 'x-forwarded-proto': 'https,http' },
  'in capitals': { 'x-forwarded-proto': 'HTTPS' },
  'by the standard': { forwarded: 'for="[2001:db8::1]:4711";proto=https;host=vote.example' },
}

for (const [how, headers] of Object.entries(SAID)) {
  test(`a gateway knows a page at https for its own when the balancer says so ${how}`, async () => {
    const gateway = cluster.gateways[1]?.url ?? ''
    const told = { host: 'vote.example', ...headers }
    const watcher = await watch(gateway, ['tea'], { headers: told, origin: 'https://vote.example' })
    await watcher.until((frame) => frame.type === 'tally')
    watcher.close()
    for (const origin of ['http://vote.example', 'https://evil.example'])
      await assert.rejects(watch(gateway, ['tea'], { headers: told, origin }), /403/)
  })
}

test('a socket that is quiet for 90 s is still there', { timeout: 240_000 }, async () => {
  for (const { watcher, since } of quiet.values()) {
    await delay(Math.max(0, since + QUIET_MS - performance.now()))
    assert.equal(watcher.socket.readyState, WebSocket.OPEN)
  }
  assert.equal((await (await openPage(urlOf('nginx'), 'quiet')).vote('yes')).status, 200)
  await Promise.all(
    [...quiet.values()].map(({ watcher }) => watcher.until((frame) => frame.type === 'tally' && frame.total === 1)),
  )
  for (const { watcher } of quiet.values()) {
    assert.equal(watcher.tallies.length, 2, 'nothing but the ballot was sent meanwhile')
    // it would not move by itself, and the gateway that leaves next would wait for it
    watcher.close()
  }
})

test('nobody notices a gateway that leaves', { timeout: 240_000 }, async (t) => {
  const screens = PROXIES.flatMap((name) => Array.from({ length: 6 }, () => ({ name, ...openScreen(t, urlOf(name), 'drain') })))
  await Promise.all(screens.map(({ first }) => first))
  const pages = await Promise.all(PROXIES.map((name) => openPage(urlOf(name), 'drain')))
  const refused: string[] = []
  let isLeaving = true
  const voting = (async () => {
    for (let turn = 0; isLeaving; turn += 1) {
      const votes = await Promise.all(pages.map((page) => page.vote(turn % 2 === 0 ? 'yes' : 'no')))
      refused.push(
        ...votes.flatMap(({ status, text }, index) => (status === 200 ? [] : [`${PROXIES[index]}: ${status} ${text}`])),
      )
      await delay(50)
    }
  })()
  const exit = await cluster.gateways[0]?.child.stop('SIGTERM', { timeoutMs: 60_000 })
  // as long as the proxies may need to see that it has gone
  await delay(2_500)
  isLeaving = false
  await voting
  assert.equal(exit?.code, 0)
  assert.deepEqual(refused, [])
  const last = await Promise.all(pages.map((page) => page.vote('yes')))
  assert.deepEqual(
    last.map(({ status }) => status),
    pages.map(() => 200),
  )
  await Promise.all(screens.map((screen) => screen.until((tally) => tally.counts?.['yes'] === pages.length)))
  assert.ok(
    screens.some(({ sockets }) => sockets.length > 1),
    'somebody was at the gateway that left',
  )
  const gaps = screens.flatMap(({ name, states }) =>
    states.filter((state) => state !== 'live' && state !== 'moving').map((state) => `${name}: ${state}`),
  )
  assert.deepEqual(gaps, [])
})

interface Screen {
  readonly first: Promise<void>
  /** The states after the first tally. */
  readonly states: string[]
  readonly sockets: readonly WebSocket[]
  until(matches: (tally: TallyFrame) => boolean): Promise<void>
}

/** The client of the pages, on a socket that trusts the certificate of the test. */
function openScreen(t: TestContext, url: string, poll: string): Screen {
  const sockets: WebSocket[] = []
  class TrustingSocket extends WebSocket {
    constructor(address: string | URL, protocols?: string | string[]) {
      super(address, protocols, { ca: certificate.ca, origin: url })
      sockets.push(this)
      this.on('error', () => {})
    }
  }
  // the package's class is the browser's in all that the client uses, but TypeScript's DOM types declare more
  const client = createTallyClient({ url: `${url}/ws`, WebSocket: TrustingSocket as unknown as typeof globalThis.WebSocket })
  t.after(() => client.close())
  const states: string[] = []
  let isThere = false
  client.addEventListener('status', ({ detail }) => isThere && states.push(detail.state))
  const until = (matches: (tally: TallyFrame) => boolean) =>
    new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`no such tally; the states were ${states.join(', ')}`)), 20_000)
      client.subscribe(poll, (tally) => {
        isThere = true
        if (!matches(tally)) return
        clearTimeout(late)
        resolve()
      })
    })
  return { first: until(() => true), states, sockets, until }
}

/** A server in a gateway's place that answers with the headers it was sent. */
async function startMirror(t: TestContext): Promise<{ readonly port: number }> {
  const server = createServer((incoming, outgoing) => outgoing.end(JSON.stringify(incoming.headers)))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { port: (server.address() as AddressInfo).port }
}

/** Asks again until the answer is as wanted: a proxy that has just started has not found its gateways yet. Ten seconds at most. */
async function eventually<T>(read: () => Promise<T>, isWanted: (answer: T) => boolean): Promise<T> {
  for (const startedAt = performance.now(); ; await delay(100)) {
    const answer = await read()
    if (isWanted(answer) || performance.now() - startedAt > 10_000) return answer
  }
}
