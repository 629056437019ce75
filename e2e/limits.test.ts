/** What one address may ask of a gateway, and what becomes of the rest. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { WebSocket } from 'ws'
import { startCluster, type Cluster, type Running } from './support/cluster.ts'
import { watch } from './support/watcher.ts'

const POLL = {
  poll: 'tea',
  question: 'Tea?',
  options: [
    { id: 'yes', label: 'Yes' },
    { id: 'no', label: 'No' },
  ],
}

describe('limits', { concurrency: true }, () => {
  let cluster: Cluster

  before(async () => {
    cluster = await startCluster({ gateways: 1 })
    for (const poll of ['tea', 'mate']) {
      assert.equal((await cluster.admin('POST', '/api/polls', { ...POLL, poll })).status, 201)
    }
  })
  after(() => cluster[Symbol.asyncDispose]())

  /** Asks as a client of this address, behind a proxy that the gateway trusts. */
  const from = (address: string, url: string, init: RequestInit = {}) =>
    fetch(url, { ...init, headers: { ...(init.headers as Record<string, string>), 'x-forwarded-for': address } })

  /** Votes with the cookie, or as somebody new. */
  const vote = (address: string, url: string, cookie?: string, path = '/api/polls/tea/vote') =>
    from(address, url + path, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...(cookie === undefined ? {} : { cookie }) },
      body: '{"option":"yes"}',
    })

  const cookieOf = (answer: Response) => answer.headers.getSetCookie()[0]?.split(';', 1)[0]

  const newVoter = async () => {
    const refused = await vote('198.51.100.1', cluster.gateways[0]?.url ?? '')
    assert.equal(refused.status, 401)
    return cookieOf(refused) ?? ''
  }

  const total = async () => {
    const answer = await fetch(`${cluster.gateways[0]?.url}/api/polls/tea`)
    return ((await answer.json()) as { tally: { total: number } }).tally.total
  }

  /** How often the gateway has refused something for this limit. */
  const refusals = async ({ child }: Running, limit: string) => {
    const { metricsPort } = await child.logged(({ msg }) => msg === 'listening')
    const text = await (await fetch(`http://127.0.0.1:${Number(metricsPort)}/metrics`)).text()
    return Number(new RegExp(`^livetally_refusals_total\\{.*limit="${limit}".*\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
  }

  /** A connection that never fails a test by its errors. */
  const connectFrom = (localAddress: string, { url }: Running) =>
    connect({ host: new URL(url).hostname, port: Number(new URL(url).port), localAddress }).on('error', () => {})

  /** The first line of the answer; empty when the connection is cut. */
  const ask = async (connection: Socket) => {
    const heard = new Promise<string>((resolve) => {
      connection.once('data', (bytes: Buffer) => resolve(bytes.toString())).once('close', () => resolve(''))
    })
    connection.write('GET /live HTTP/1.1\r\nHost: x\r\n\r\n')
    return (await heard).split('\r\n', 1)[0]
  }

  const assertRefused = async (answer: Response, policy: string, quota: number, windowS: number) => {
    const text = await answer.text()
    assert.equal(answer.status, 429, text)
    assert.equal(answer.headers.get('content-type'), 'application/problem+json')
    assert.equal(answer.headers.getSetCookie().length, 0)
    const problem = JSON.parse(text) as { type: string; detail: string }
    assert.equal(problem.type, '/problems/too-many')
    assert.match(problem.detail, new RegExp(`${quota} .*within ${windowS} s`))
    const waitS = Number(answer.headers.get('retry-after'))
    assert.ok(waitS >= 1 && waitS <= windowS, String(waitS))
    assert.equal(answer.headers.get('ratelimit-policy'), `"${policy}";q=${quota};w=${windowS}`)
    assert.equal(answer.headers.get('ratelimit'), `"${policy}";r=0;t=${waitS}`)
  }

  test('the votes of one address above its limit are refused and not stored, however they are sent; others vote on', async () => {
    const gateway = await cluster.startGateway({ TRUST_PROXY: 'loopback', VOTES_PER_ADDRESS: '3' })
    const { url } = gateway
    const voters = await Promise.all(Array.from({ length: 9 }, newVoter))
    // together, so that they come within the window on a slow machine too
    const within = await Promise.all(voters.slice(0, 3).map((cookie) => vote('192.0.2.1', url, cookie)))
    const paths = ['/api/polls/tea/vote', '/api/polls/tea/vote?', '/api/polls/te%61/vote']
    const above = await Promise.all(paths.map((path) => vote('192.0.2.1', url, voters[3], path)))
    assert.deepEqual(
      within.map(({ status }) => status),
      [200, 200, 200],
    )
    for (const answer of above) await assertRefused(answer, 'votes', 3, 10)
    const ballot = await from('192.0.2.1', `${url}/api/polls/tea/vote`, { headers: { cookie: voters[3] ?? '' } })
    assert.deepEqual(await ballot.json(), { poll: 'tea', ballot: null })
    assert.equal((await vote('192.0.2.2', url, voters[4])).status, 200)
    // of IPv6 one client has a whole /64
    const hosts = ['::1', ':ffff::1', ':0:0:7:1']
    const inNetwork = await Promise.all(hosts.map((host, index) => vote(`2001:db8:0:1${host}`, url, voters[5 + index])))
    await assertRefused(await vote('2001:db8:0:1::2', url, voters[8]), 'votes', 3, 10)
    assert.deepEqual(
      inNetwork.map(({ status }) => status),
      [200, 200, 200],
    )
    assert.equal((await vote('2001:db8:0:2::2', url, voters[8])).status, 200)
    assert.equal(await total(), 8)
    assert.equal(await refusals(gateway, 'votes'), 4)
    await gateway.child.logged(({ msg, limit }) => msg === 'an address is refused' && limit === 'votes')
  })

  test('an address gets so many new voters; who reads the poll still does, and who has a cookie still votes', async () => {
    const gateway = await cluster.startGateway({ TRUST_PROXY: 'loopback', VOTERS_PER_ADDRESS: '2' })
    const { url } = gateway
    const first = await vote('192.0.2.1', url)
    assert.equal(first.status, 401)
    const forged = await vote('192.0.2.1', url, 'voter=made-up.signature')
    assert.equal(forged.status, 401)
    await assertRefused(await vote('192.0.2.1', url), 'voters', 2, 60)
    await assertRefused(await vote('192.0.2.1', url, 'voter=made-up.again', '/api/polls/tea/vote?'), 'voters', 2, 60)
    for (const path of ['/api/polls/tea', '/api/polls/tea/vote']) {
      const read = await from('192.0.2.1', url + path)
      assert.equal(read.status, 200)
      assert.equal(cookieOf(read), undefined)
    }
    assert.equal((await vote('192.0.2.1', url, cookieOf(first), '/api/polls/mate/vote')).status, 200)
    assert.equal((await vote('192.0.2.2', url)).status, 401)
    assert.ok((await refusals(gateway, 'voters')) >= 2)
  })

  test('an address asks for so many histories and exports, and reads on otherwise', async () => {
    const { url } = await cluster.startGateway({ TRUST_PROXY: 'loopback', HISTORIES_PER_ADDRESS: '2' })
    const within = await Promise.all(['history', 'export.csv'].map((what) => from('192.0.2.1', `${url}/api/polls/tea/${what}`)))
    assert.deepEqual(
      within.map(({ status }) => status),
      [200, 401],
    )
    await assertRefused(await from('192.0.2.1', `${url}/api/polls/tea/hist%6fry`), 'histories', 2, 10)
    assert.equal((await from('192.0.2.1', `${url}/api/polls/tea`)).status, 200)
    assert.equal((await from('192.0.2.2', `${url}/api/polls/tea/history`)).status, 200)
  })

  test('a limit of 0 is none', async () => {
    const { url } = await cluster.startGateway({ VOTES_PER_ADDRESS: '0', VOTERS_PER_ADDRESS: '0', HISTORIES_PER_ADDRESS: '0' })
    for (let time = 0; time < 3; time += 1) {
      assert.equal((await vote('192.0.2.1', url)).status, 401)
      assert.equal((await from('192.0.2.1', `${url}/api/polls/tea/history`)).status, 200)
    }
  })

  test('one address gets half of the connections, and a WebSocket takes none of them', async () => {
    const gateway = await cluster.startGateway({ MAX_CONNECTIONS: '8' })
    const kept: Socket[] = []
    const screens: Awaited<ReturnType<typeof watch>>[] = []
    const open = (address: string) => {
      const connection = connectFrom(address, gateway)
      kept.push(connection)
      return connection
    }
    try {
      for (let count = 0; count < 6; count += 1) screens.push(await watch(gateway.url, ['tea']))
      // four requests that have begun; again where the machine is so slow that they are given up before the fifth comes
      for (let fifth; fifth !== ''; fifth = await ask(open('127.0.0.2'))) {
        for (const connection of kept.splice(0)) connection.destroy()
        for (let count = 0; count < 4; count += 1) open('127.0.0.2').write('GET /live HTTP/1.1\r\n')
      }
      assert.equal(await ask(open('127.0.0.3')), 'HTTP/1.1 200 OK')
      assert.ok((await refusals(gateway, 'connections')) >= 1)
      for (const connection of kept) connection.destroy()
      while ((await ask(open('127.0.0.2'))) !== 'HTTP/1.1 200 OK') await new Promise((resolve) => setTimeout(resolve, 20))
    } finally {
      for (const connection of kept) connection.destroy()
      for (const { socket } of screens) socket.terminate()
    }
  })

  test('one address gets so many sockets, of IPv6 its /64 with it, and another one when one has closed', async () => {
    const { url } = await cluster.startGateway({ TRUST_PROXY: 'loopback', MAX_SOCKETS_PER_ADDRESS: '1' })
    const sockets: WebSocket[] = []
    /** Resolves to the socket, or to the status of the refusal. */
    const open = (address: string) =>
      new Promise<WebSocket | number>((resolve) => {
        const socket = new WebSocket(`${url}/ws?poll=tea`, { headers: { 'x-forwarded-for': address } })
        sockets.push(socket)
        socket.on('error', () => {})
        socket.once('open', () => resolve(socket)).once('unexpected-response', (_, { statusCode = 0 }) => resolve(statusCode))
      })
    try {
      const first = await open('2001:db8:0:1::1')
      assert.ok(first instanceof WebSocket)
      assert.equal(await open('2001:db8:0:1:ffff::2'), 429)
      assert.ok((await open('2001:db8:0:2::1')) instanceof WebSocket)
      first.close()
      await once(first, 'close')
      // the gateway may not have taken note of it yet
      let next = await open('2001:db8:0:1::3')
      for (let tries = 0; tries < 200 && next === 429; tries++) {
        await new Promise((resolve) => setTimeout(resolve, 20))
        next = await open('2001:db8:0:1::3')
      }
      assert.ok(next instanceof WebSocket)
    } finally {
      for (const socket of sockets) socket.terminate()
    }
  })

  test('idle connections make room for those of a hall that come after them', async () => {
    const gateway = await cluster.startGateway({ MAX_CONNECTIONS: '40' })
    const kept: Socket[] = []
    try {
      for (let second = 0; second < 3; second += 1) {
        for (let count = 0; count < 14; count += 1) {
          const connection = connectFrom('127.0.0.2', gateway)
          kept.push(connection)
          assert.equal(await ask(connection), 'HTTP/1.1 200 OK')
        }
        await new Promise((resolve) => setTimeout(resolve, 1_000))
      }
      assert.equal(await refusals(gateway, 'connections'), 0)
    } finally {
      for (const connection of kept) connection.destroy()
    }
  })

  test('what the HTTP parser refuses is answered with a problem, and so is a request with two hosts or none', async () => {
    const { hostname, port } = new URL(cluster.gateways[0]?.url ?? '')
    const ballot = 'PUT /api/polls/tea/vote HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 16\r\n'
    for (const [status, kind, sent] of [
      [431, 'too-large', `GET /live HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(9_000)}\r\n\r\n`],
      [400, 'bad-request', 'hello\r\n\r\n'],
      [400, 'bad-request', 'GET /live HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n'],
      [408, 'timeout', 'GET /live HTTP/1.1\r\nHost: x\r\n'],
      [400, 'bad-request', `PUT /api/polls/tea/vote HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnone`],
      [400, 'bad-request', 'GET /live HTTP/1.1\r\n\r\n'],
      [400, 'bad-request', 'GET /live HTTP/1.1\r\nHost: x\r\nhost: y\r\n\r\n'],
      [400, 'bad-request', `${ballot}Host: x\r\nHost: x\r\n\r\n{"option":"yes"}`],
    ] as const) {
      const connection = connect({ host: hostname, port: Number(port) }).on('error', () => {})
      connection.write(sent)
      let text = ''
      for await (const chunk of connection) text += String(chunk)
      const [head = '', body = ''] = text.split('\r\n\r\n')
      assert.match(head, new RegExp(`^HTTP/1\\.1 ${status} [^]*content-type: application/problem\\+json`, 'i'), sent.slice(0, 80))
      assert.match(head, /^connection: close$/im)
      const problem = JSON.parse(body) as { type: string; status: number; detail: string }
      assert.deepEqual([problem.type, problem.status], [`/problems/${kind}`, status])
    }
    // what comes after a request that is not answered yet is no answer to it
    const pipelined = connect({ host: hostname, port: Number(port) }).on('error', () => {})
    pipelined.write('GET /api/polls HTTP/1.1\r\nHost: x\r\n\r\nhello\r\n\r\n')
    let heard = ''
    for await (const chunk of pipelined) heard += String(chunk)
    assert.doesNotMatch(heard, /^HTTP\/1\.1 400 /)
    const old = connect({ host: hostname, port: Number(port) })
    old.write('GET /live HTTP/1.0\r\n\r\n')
    assert.match(String((await once(old, 'data'))[0]), /^HTTP\/1\.1 200 /)
    old.destroy()
  })
})
