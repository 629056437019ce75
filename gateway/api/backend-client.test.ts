import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { Log } from '../../shared/telemetry/log.ts'
import type { BundledVote } from '../../shared/protocol/vote-bundle.ts'
import type { ApiRequest } from './api.ts'
import { createBackendClient } from './backend-client.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

type Answer = (request: IncomingMessage, response: ServerResponse) => unknown

async function backend(t: TestContext, answer: Answer): Promise<{ server: Server; url: string }> {
  const server = createServer((request, response) => void answer(request, response)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = Buffer.concat(await request.toArray()).toString()
  response.setHeader('set-cookie', ['a=1', 'b=2'])
  response.statusCode = 201
  response.end(JSON.stringify([request.method, request.url, request.headers['x-a'], body]))
}

const put = (): ApiRequest => ({
  method: 'PUT',
  target: '/api/polls/p/vote?x=1',
  headers: { 'content-type': 'application/json', 'x-a': '1' },
  body: Buffer.from('{"option":"cats"}'),
})
const get = (target: string): ApiRequest => ({ method: 'GET', target, headers: {} })

test('passes on the request and the answer, and uses connections again', async (t) => {
  const connections = new Set<unknown>()
  const { url } = await backend(t, (request, response) => {
    connections.add(request.socket)
    void echo(request, response)
  })
  const client = createBackendClient({ backendUrls: [url], log: silent })
  for (let turn = 0; turn < 6; turn += 1) {
    const response = await client.fetch(put())
    assert.equal(response.status, 201)
    assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2'])
    assert.deepEqual(await response.json(), ['PUT', '/api/polls/p/vote?x=1', '1', '{"option":"cats"}'])
  }
  // a second one is opened when the next request comes before the first connection is free again
  assert.ok(connections.size <= 2)
})

test('passes on what has no end yet, and what has no body', async (t) => {
  const { url } = await backend(t, (request, response) => {
    if (request.url === '/none') response.writeHead(304, { etag: '"x"' }).end()
    else {
      response.write('first')
      setTimeout(() => response.end(' last'), 20)
    }
  })
  const client = createBackendClient({ backendUrls: [url], log: silent })
  assert.equal(await (await client.fetch(get('/stream'))).text(), 'first last')
  const none = await client.fetch(get('/none'))
  assert.deepEqual([none.status, none.headers.get('etag'), await none.text()], [304, '"x"', ''])
})

test('goes to the next backend when one refuses, and comes back to one that is being replaced', async (t) => {
  const gone = await backend(t, () => {})
  gone.server.close()
  const { url } = await backend(t, (_request, response) => response.end('here'))
  assert.equal(await (await createBackendClient({ backendUrls: [gone.url, url], log: silent }).fetch(put())).text(), 'here')

  const waiting = createBackendClient({ backendUrls: [gone.url], log: silent }).fetch(put())
  const successor = createServer((_request, response) => response.end('back'))
  setTimeout(() => successor.listen(Number(new URL(gone.url).port), '127.0.0.1'), 200)
  t.after(() => {
    successor.close()
    successor.closeAllConnections()
  })
  assert.equal(await (await waiting).text(), 'back')
})

test('sends a PUT again whose connection broke, and a POST not', async (t) => {
  let requests = 0
  const { url } = await backend(t, (request, response) => {
    requests += 1
    if (requests === 1) request.socket.resetAndDestroy()
    else response.end('done')
  })
  const client = createBackendClient({ backendUrls: [url], log: silent })
  assert.equal(await (await client.fetch(put())).text(), 'done')
  assert.equal(requests, 2)
  requests = 0
  const post = await client.fetch({ ...put(), method: 'POST' })
  assert.equal(post.status, 503)
  assert.equal(requests, 1)
})

test('says 503 when no backend can be reached and 504 when none answers in time', async (t) => {
  const gone = await backend(t, () => {})
  gone.server.close()
  const unreachable = await createBackendClient({ backendUrls: [gone.url], log: silent, patienceMs: 100 }).fetch(put())
  assert.deepEqual([unreachable.status, unreachable.headers.get('retry-after')], [503, '1'])
  const mute = await backend(t, () => {})
  const late = await createBackendClient({ backendUrls: [mute.url], log: silent, timeoutMs: 100 }).fetch(put())
  assert.equal(late.status, 504)
})

const votes = (...bodies: string[]): BundledVote[] =>
  bodies.map((body) => ({ poll: 'tea', body, cookie: 'voter=a.b', isSecure: false, requestId: 'r' }))

test('casts votes in one request, and gives each the answer at its place', async (t) => {
  const asked: unknown[] = []
  const { url } = await backend(t, async (request, response) => {
    const bundle = JSON.parse(Buffer.concat(await request.toArray()).toString()) as BundledVote[]
    asked.push([request.method, request.url, request.headers['content-type'], bundle])
    response.end(JSON.stringify(bundle.map(({ body }) => ({ status: 200, headers: { 'x-a': '1' }, body }))))
  })
  const client = createBackendClient({ backendUrls: [url], log: silent })
  assert.deepEqual(await client.castVotes(votes('one', 'two')), [
    { status: 200, headers: { 'x-a': '1' }, body: 'one' },
    { status: 200, headers: { 'x-a': '1' }, body: 'two' },
  ])
  assert.deepEqual(asked, [['PUT', '/votes', 'application/json', votes('one', 'two')]])
})

test('tells every vote of a bundle why it failed, and takes an answer that makes no sense for a fault', async (t) => {
  const busy = await backend(t, (_request, response) => response.writeHead(503, { 'retry-after': '1' }).end('{"status":503}'))
  const refused = await createBackendClient({ backendUrls: [busy.url], log: silent }).castVotes(votes('one', 'two'))
  assert.deepEqual(
    refused.map(({ status, headers, body }) => [status, headers['retry-after'], body]),
    [
      [503, '1', '{"status":503}'],
      [503, '1', '{"status":503}'],
    ],
  )
  const unreachable = await createBackendClient({ backendUrls: ['http://127.0.0.1:1'], log: silent, patienceMs: 50 }).castVotes(
    votes('one'),
  )
  assert.equal(unreachable[0]?.status, 503)
  for (const nonsense of ['[]', '{}', '[{"status":200},{"status":200}]', 'hello']) {
    const { url } = await backend(t, (_request, response) => response.end(nonsense))
    await assert.rejects(createBackendClient({ backendUrls: [url], log: silent }).castVotes(votes('one', 'two')), nonsense)
  }
})

test('asks again for an answer that was cut off by a backend that is shutting down', async (t) => {
  for (const head of ['content-length: 100\r\n', 'transfer-encoding: chunked\r\n']) {
    let requests = 0
    const { url } = await backend(t, (request, response) => {
      requests += 1
      if (requests > 1) return response.end('whole')
      return request.socket.end(`HTTP/1.1 200 OK\r\nconnection: close\r\n${head}\r\n5\r\nhello`)
    })
    const answer = await createBackendClient({ backendUrls: [url], log: silent }).fetch(put())
    // an answer of unknown length is passed on as it comes, so that one is not asked for again
    if (head.startsWith('content')) assert.deepEqual([await answer.text(), requests], ['whole', 2])
    else await assert.rejects(answer.text())
  }
})

test('passes on a header that is given twice, and takes the address of a backend without its path', async (t) => {
  const { url } = await backend(t, (_request, response) => {
    response.writeHead(
      200,
      [
        ['vary', 'a'],
        ['vary', 'b'],
        ['set-cookie', 'x=1'],
      ].flat(),
    )
    response.end('here')
  })
  const answer = await createBackendClient({ backendUrls: [`${url}/base`], log: silent }).fetch(get('/'))
  assert.deepEqual([answer.headers.get('vary'), answer.headers.getSetCookie(), await answer.text()], ['a, b', ['x=1'], 'here'])
})
