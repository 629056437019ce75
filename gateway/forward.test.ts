import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { Log } from '../shared/telemetry/log.ts'
import type { ApiRequest } from './api.ts'
import { createForward } from './forward.ts'

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => silent }

async function backend(t: TestContext, listener: RequestListener): Promise<{ server: Server; url: string }> {
  const server = createServer(listener).listen(0, '127.0.0.1')
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

test('passes on the request and the answer, and keeps the connection', async (t) => {
  const connections = new Set<unknown>()
  const { url } = await backend(t, (request, response) => {
    connections.add(request.socket)
    void echo(request, response)
  })
  const forward = createForward({ backendUrls: [url], log: silent })
  for (let turn = 0; turn < 3; turn += 1) {
    const response = await forward(put())
    assert.equal(response.status, 201)
    assert.deepEqual(response.headers.getSetCookie(), ['a=1', 'b=2'])
    assert.deepEqual(await response.json(), ['PUT', '/api/polls/p/vote?x=1', '1', '{"option":"cats"}'])
  }
  assert.equal(connections.size, 1)
})

test('passes on what has no end yet, and what has no body', async (t) => {
  const { url } = await backend(t, (request, response) => {
    if (request.url === '/none') response.writeHead(304, { etag: '"x"' }).end()
    else {
      response.write('first')
      setTimeout(() => response.end(' last'), 20)
    }
  })
  const forward = createForward({ backendUrls: [url], log: silent })
  assert.equal(await (await forward(get('/stream'))).text(), 'first last')
  const none = await forward(get('/none'))
  assert.deepEqual([none.status, none.headers.get('etag'), await none.text()], [304, '"x"', ''])
})

test('goes to the next backend when one refuses, and comes back to one that is being replaced', async (t) => {
  const gone = await backend(t, () => {})
  gone.server.close()
  const { url } = await backend(t, (_request, response) => response.end('here'))
  assert.equal(await (await createForward({ backendUrls: [gone.url, url], log: silent })(put())).text(), 'here')

  const waiting = createForward({ backendUrls: [gone.url], log: silent })(put())
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
  const forward = createForward({ backendUrls: [url], log: silent })
  assert.equal(await (await forward(put())).text(), 'done')
  assert.equal(requests, 2)
  requests = 0
  const post = await forward({ ...put(), method: 'POST' })
  assert.equal(post.status, 503)
  assert.equal(requests, 1)
})

test('says 503 when no backend can be reached and 504 when none answers in time', async (t) => {
  const gone = await backend(t, () => {})
  gone.server.close()
  const unreachable = await createForward({ backendUrls: [gone.url], log: silent, patienceMs: 100 })(put())
  assert.deepEqual([unreachable.status, unreachable.headers.get('retry-after')], [503, '1'])
  const mute = await backend(t, () => {})
  const late = await createForward({ backendUrls: [mute.url], log: silent, timeoutMs: 100 })(put())
  assert.equal(late.status, 504)
})
