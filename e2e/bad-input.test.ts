import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { WebSocket, type ClientOptions } from 'ws'
import { createVoter, startCluster, type Cluster } from './support/cluster.ts'
import { watch } from './support/watcher.ts'

const POLL = {
  poll: 'cats-or-dogs',
  question: 'Cats or dogs?',
  options: [
    { id: 'cats', label: 'Cats' },
    { id: 'dogs', label: 'Dogs' },
  ],
}

describe('bad input', () => {
  let cluster: Cluster
  let url: string
  let voter: Awaited<ReturnType<typeof createVoter>>

  before(async () => {
    cluster = await startCluster({ env: { ALLOWED_ORIGINS: 'https://friend.example' } })
    url = cluster.gateways[0]?.url ?? ''
    assert.equal((await cluster.admin('POST', '/api/polls', POLL)).status, 201)
    assert.equal((await cluster.admin('POST', '/api/polls', { ...POLL, poll: 'over' })).status, 201)
    assert.equal((await cluster.admin('PATCH', '/api/polls/over', { state: 'closed' })).status, 200)
    voter = await createVoter(url, 'cats-or-dogs')
  })
  after(() => cluster[Symbol.asyncDispose]())

  /** Sends a request that must fail, and checks that the answer is a clear problem and that nothing was written. */
  async function refused(
    expected: { status: number; kind: string; says: RegExp },
    path: string,
    init: RequestInit & { duplex?: 'half' },
  ) {
    const response = await fetch(url + path, init)
    const text = await response.text()
    assert.equal(response.status, expected.status, text)
    assert.equal(response.headers.get('content-type'), 'application/problem+json')
    const problem = JSON.parse(text) as { type: string; title: string; status: number; detail: string }
    assert.deepEqual(Object.keys(problem).toSorted(), ['detail', 'status', 'title', 'type'])
    assert.equal(problem.type, `/problems/${expected.kind}`)
    assert.equal(problem.status, expected.status)
    assert.match(problem.detail, expected.says)
    assert.doesNotMatch(text, /\bat .*\.[tj]s:|node_modules|Error:/, 'no stack trace')
    const polls = (await (await fetch(`${url}/api/polls`)).json()) as { polls: { poll: string; total: number }[] }
    assert.deepEqual(
      polls.polls.map(({ poll, total }) => [poll, total]),
      [
        ['cats-or-dogs', 0],
        ['over', 0],
      ],
    )
    return response
  }

  const json = { 'content-type': 'application/json' }
  const put = (body: RequestInit['body'], headers: Record<string, string> = {}): RequestInit => ({
    method: 'PUT',
    headers: { ...json, cookie: voter.cookie, ...headers },
    body: body ?? null,
  })

  test('malformed JSON', async () => {
    await refused({ status: 400, kind: 'bad-body', says: /JSON/ }, '/api/polls/cats-or-dogs/vote', put('{"option":'))
  })

  for (const [what, body, says] of [
    ['no option', {}, /^option: /],
    ['an option that is no text', { option: 7 }, /^option: .*string/],
    ['an empty option', { option: '' }, /^option: /],
    ['an option with a NUL', { option: 'a\u0000b' }, /^option: /],
    ['a field nobody asked for', { option: 'cats', voter: 'x' }, /voter/],
    ['a list', [], /object/],
    ['null', null, /object/],
  ] as const) {
    test(`a body with ${what}`, async () => {
      await refused({ status: 400, kind: 'bad-body', says }, '/api/polls/cats-or-dogs/vote', put(JSON.stringify(body)))
    })
  }

  test('an option the poll does not have', async () => {
    await refused(
      { status: 422, kind: 'unknown-option', says: /no option "birds"/ },
      '/api/polls/cats-or-dogs/vote',
      put('{"option":"birds"}'),
    )
  })

  test('a poll that does not exist', async () => {
    await refused(
      { status: 404, kind: 'unknown-poll', says: /no poll "nowhere"/ },
      '/api/polls/nowhere/vote',
      put('{"option":"cats"}'),
    )
    await refused({ status: 404, kind: 'unknown-poll', says: /no poll "nowhere"/ }, '/api/polls/nowhere', {})
  })

  test('a poll name that cannot be one', async () => {
    await refused({ status: 400, kind: 'bad-body', says: /^poll: / }, '/api/polls/No%20Such/vote', put('{"option":"cats"}'))
  })

  test('a poll that is closed', async () => {
    await refused(
      { status: 409, kind: 'poll-closed', says: /"over" is closed/ },
      '/api/polls/over/vote',
      put('{"option":"cats"}'),
    )
  })

  test('a body that is too large, announced or streamed', async () => {
    const large = JSON.stringify({ option: 'x'.repeat(100_000) })
    const expected = { status: 413, kind: 'too-large', says: /65536 bytes/ }
    await refused(expected, '/api/polls/cats-or-dogs/vote', put(large))
    await refused(expected, '/api/polls/cats-or-dogs/vote', { ...put(new Blob([large]).stream()), duplex: 'half' })
  })

  test('a body that is not JSON by its content type', async () => {
    const expected = { status: 415, kind: 'unsupported-media-type', says: /application\/json/ }
    await refused(expected, '/api/polls/cats-or-dogs/vote', put('{"option":"cats"}', { 'content-type': 'text/plain' }))
    await refused(
      expected,
      '/api/polls/cats-or-dogs/vote',
      put('option=cats', { 'content-type': 'application/x-www-form-urlencoded' }),
    )
  })

  test('a vote without a voter cookie is told to come back with the one it gets', async () => {
    const response = await refused(
      { status: 401, kind: 'no-voter', says: /repeat/ },
      '/api/polls/cats-or-dogs/vote',
      put('{"option":"cats"}', { cookie: '' }),
    )
    assert.match(response.headers.getSetCookie()[0] ?? '', /^voter=.*HttpOnly.*SameSite=Lax/)
  })

  test('a forged voter cookie', async () => {
    const [name, value = ''] = voter.cookie.split('=')
    const forged = `${name}=${value.replace(/^.{8}/, '00000000')}`
    const response = await refused(
      { status: 401, kind: 'forged-voter', says: /not signed here/ },
      '/api/polls/cats-or-dogs/vote',
      put('{"option":"cats"}', { cookie: forged }),
    )
    assert.match(response.headers.getSetCookie()[0] ?? '', /^voter=/)
  })

  test('a vote from a page of another origin', async () => {
    const expected = { status: 403, kind: 'origin-refused', says: /origin/ }
    for (const origin of ['https://evil.example', 'null', `${url}.evil.example`, 'https://friend.example.evil.example']) {
      await refused(expected, '/api/polls/cats-or-dogs/vote', put('{"option":"cats"}', { origin }))
    }
    await refused(expected, '/api/polls/cats-or-dogs/vote', put('{"option":"cats"}', { 'sec-fetch-site': 'cross-site' }))
  })

  test('a wrong admin token, or none', async () => {
    const create = (headers: Record<string, string>): RequestInit => ({
      method: 'POST',
      headers: { ...json, ...headers },
      body: JSON.stringify({ ...POLL, poll: 'mine' }),
    })
    const expected = { status: 401, kind: 'not-allowed', says: /admin token/ }
    for (const authorization of [
      'Bearer wrong-token-of-some-length',
      'Bearer an-admin-token-for-test',
      'Bearer ',
      'Bearer two words',
      'Basic YTpi',
    ]) {
      const response = await refused(expected, '/api/polls', create({ authorization }))
      assert.match(response.headers.get('www-authenticate') ?? '', /^Bearer/)
    }
    await refused(expected, '/api/polls', create({}))
    await refused(expected, '/api/polls/cats-or-dogs', { ...create({}), method: 'PATCH', body: '{"state":"closed"}' })
  })

  test('a poll that cannot be', async () => {
    const create = async (change: object) => await cluster.admin('POST', '/api/polls', { ...POLL, poll: 'bad', ...change })
    for (const [change, field] of [
      [{ poll: 'Not A Name' }, 'poll'],
      [{ options: [{ id: 'only', label: 'One' }] }, 'options'],
      [{ options: [POLL.options[0], POLL.options[0]] }, 'options'],
      [{ question: ' ' }, 'question'],
      [{ closesAt: 'tomorrow' }, 'closesAt'],
      [{ closesAt: '0000-12-31T23:59:59Z' }, 'closesAt'],
      [{ closesAt: '9999-12-31T23:59:59-00:01' }, 'closesAt'],
      [{ question: 'a\u0000b?' }, 'question'],
      [{ question: 'a\uD800?' }, 'question'],
      [{ options: [POLL.options[0], { id: 'dogs', label: '\u0000' }] }, 'options.1.label'],
      [{ options: [POLL.options[0], { id: 'dogs', label: '\uDC00' }] }, 'options.1.label'],
      [{ source: { table: '\u0000', optionColumn: 'a' } }, 'source.table'],
      [{ visibility: 'maybe' }, 'visibility'],
    ] as const) {
      const response = await create(change)
      const { detail } = (await response.json()) as { detail: string }
      assert.equal(response.status, 400)
      assert.ok(detail.startsWith(field), `"${detail}" names ${field}`)
    }
    assert.equal((await create({ poll: 'cats-or-dogs' })).status, 409)
  })

  /** The status a refused upgrade is answered with. */
  async function upgradeStatus(path: string, options: ClientOptions = {}, protocols: string[] = []): Promise<number> {
    const socket = new WebSocket(url.replace('http', 'ws') + path, protocols, options)
    socket.on('error', () => {})
    const [, response] = (await once(socket, 'unexpected-response')) as [unknown, { statusCode: number; resume(): void }]
    response.resume()
    socket.terminate()
    return response.statusCode
  }

  test('a socket for a page of another origin', async () => {
    for (const origin of ['https://evil.example', 'null', `${url}.evil.example`, 'https://friend.example:8443']) {
      assert.equal(await upgradeStatus('/ws?poll=cats-or-dogs', { headers: { origin } }), 403, origin)
    }
    for (const origin of [url, 'https://friend.example']) {
      const watcher = await watch(url, ['cats-or-dogs'], { headers: { origin } })
      watcher.close()
    }
  })

  test('a refused socket is not kept for a client that does not leave', async () => {
    const { hostname, port } = new URL(url)
    const socket = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
    socket.on('error', () => {})
    socket.write(
      `GET /ws?poll=cats-or-dogs HTTP/1.1\r\nHost: ${hostname}:${port}\r\nOrigin: https://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
    )
    let answer = ''
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()))
    await once(socket, 'end')
    assert.match(answer, /^HTTP\/1\.1 403 /)
    // it says that it is still there: a socket that nobody holds answers with a reset, which the next write hears of
    const until = Date.now() + 5_000
    while (!socket.destroyed && Date.now() < until) await new Promise((resolve) => socket.write('x', resolve))
    assert.ok(socket.destroyed)
  })

  test('a socket for no poll, for an unknown one, or for too many', async () => {
    assert.equal(await upgradeStatus('/ws'), 400)
    assert.equal(await upgradeStatus('/ws?poll=nowhere'), 404)
    assert.equal(await upgradeStatus(`/ws?${Array.from({ length: 17 }, (_, index) => `poll=p${index}`).join('&')}`), 400)
    const told = await watch(url, ['nowhere'])
    assert.equal((await told.closed).code, 4404, 'a client of ours is told in words it can read')
  })

  test('a data frame from a client closes its socket with 1008', async () => {
    for (const data of ['hello', Buffer.from([1, 2, 3])]) {
      const watcher = await watch(url, ['cats-or-dogs'])
      watcher.socket.send(data)
      assert.equal((await watcher.closed).code, 1008)
    }
  })

  test('a frame larger than any client frame may be closes its socket', async () => {
    const watcher = await watch(url, ['cats-or-dogs'])
    watcher.socket.send('x'.repeat(10_000))
    assert.equal((await watcher.closed).code, 1009)
  })

  test('an upgrade to something else is answered like any other request', async () => {
    const { port, hostname } = new URL(url)
    const socket = connect(Number(port), hostname)
    socket.write(`GET /live HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n`)
    const [data] = (await once(socket, 'data')) as [Buffer]
    assert.match(data.toString(), /^HTTP\/1\.1 200 /)
    socket.destroy()
  })

  test('an upgrade to something else that gets no answer it could use is not kept open after it', async () => {
    const { port, hostname } = new URL(url)
    for (const [path, status] of [
      ['/ws?poll=cats-or-dogs', 426],
      ['/nothing/here', 404],
    ] as const) {
      const socket = connect(Number(port), hostname)
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\n`)
      const answer = Buffer.concat(await socket.setTimeout(5_000, () => socket.destroy(new Error('still open'))).toArray())
      assert.match(answer.toString(), new RegExp(`^HTTP/1.1 ${status} `))
    }
  })

  test('a health check over HTTP/1.0, without a Host header, is no bad input', async () => {
    for (const at of [url, cluster.backends[0]?.url ?? '']) {
      const { port, hostname } = new URL(at)
      const socket = connect(Number(port), hostname)
      socket.write('GET /ready HTTP/1.0\r\n\r\n')
      const [data] = (await once(socket, 'data')) as [Buffer]
      assert.match(data.toString(), /^HTTP\/1\.1 200 /)
      socket.destroy()
    }
  })

  describe('a handshake', () => {
    const handshake = (host: string, version = '1.1') =>
      `GET /ws?poll=cats-or-dogs HTTP/${version}\r\n${host}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`

    /** The first line of the answer to bytes that come at once, or behind another request, so that the HTTP server reads them. */
    async function firstLine(bytes: string, entrance: 'at once' | 'by HTTP'): Promise<string> {
      const { port, hostname } = new URL(url)
      const socket = connect(Number(port), hostname)
      if (entrance === 'by HTTP') {
        socket.write(`GET /live HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`)
        await once(socket, 'data')
      }
      socket.write(bytes)
      const [data] = (await once(socket, 'data')) as [Buffer]
      socket.destroy()
      return data.toString().split('\r\n', 1)[0] ?? ''
    }

    for (const entrance of ['at once', 'by HTTP'] as const) {
      test(`that names no host, an empty one or two, ${entrance}`, async () => {
        for (const host of ['', 'Host:\r\n', 'Host: \r\n', 'Host: one.example\r\nHost: two.example\r\n']) {
          assert.equal(await firstLine(handshake(host), entrance), 'HTTP/1.1 400 Bad Request', JSON.stringify(host))
        }
        assert.match(await firstLine(handshake('Host: one.example\r\n'), entrance), / 101 /)
      })

      test(`over HTTP/1.0, which knows no upgrade, ${entrance}`, async () => {
        assert.match(await firstLine(handshake('Host: one.example\r\n', '1.0'), entrance), / 426 /)
      })
    }
  })

  test('a path nobody serves', async () => {
    await refused({ status: 404, kind: 'not-found', says: /nothing|Nothing/ }, '/nothing/here', {})
    await refused({ status: 404, kind: 'not-found', says: /Nothing/ }, '/assets/..%2f..%2fpackage.json', {})
  })
})
