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
  assert.equal(post.status, 504, 'it may have been carried out')
  assert.equal(requests, 1)
})

test('says 503 when no backend can be reached and 504 when none answers in time', async (t) => {
  const gone = await backend(t, () => {})
  gone.server.close()
  const unreachable = await createBackendClient({ backendUrls: [gone.url], log: silent, patienceMs: 100 }).fetch(put())
  assert.deepEqual([unreachable.status, unreachable.headers.get('retry-after')], [503, '1'])
  const mute = await backend(t, () => {})
  const late = await createBackendClient({ backendUrls: [mute.url], log: silent, tryMs: 50, patienceMs: 150 }).fetch(put())
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

/** A backend that refuses a request as a whole if one of its votes is bad, and counts the requests. */
async function fussy(t: TestContext, status: number) {
  const requests: string[][] = []
  const { url } = await backend(t, async (request, response) => {
    const bundle = JSON.parse(Buffer.concat(await request.toArray()).toString()) as BundledVote[]
    requests.push(bundle.map(({ body }) => body))
    if (bundle.some(({ body }) => body.startsWith('bad'))) response.writeHead(status).end('<h1>No</h1>')
    else response.end(JSON.stringify(bundle.map(({ body }) => ({ status: 200, headers: {}, body: `counted ${body}` }))))
  })
  return { requests, client: createBackendClient({ backendUrls: [url], log: silent }) }
}

test('of votes that are refused together only those that are to blame are refused, and are told so', async (t) => {
  for (const status of [400, 413]) {
    const { client } = await fussy(t, status)
    const bodies = Array.from({ length: 500 }, (_, index) => ([0, 251, 499].includes(index) ? `bad ${index}` : `good ${index}`))
    const answers = await client.castVotes(votes(...bodies))
    for (const [index, body] of bodies.entries()) {
      const answer = answers[index]
      if (body.startsWith('good')) assert.equal(answer?.body, `counted ${body}`)
      else {
        assert.deepEqual([answer?.status, answer?.headers['content-type']], [status, 'application/problem+json'])
        assert.match(answer?.body ?? '', /cannot be passed on|larger than what can be passed on/)
      }
    }
  }
})

test('votes among too many that are refused are not asked for one by one, and told to try again', async (t) => {
  const { client, requests } = await fussy(t, 413)
  const bodies = Array.from({ length: 500 }, (_, index) => (index % 2 === 0 ? `bad ${index}` : `good ${index}`))
  const answers = await client.castVotes(votes(...bodies))
  assert.ok(requests.length < 100, String(requests.length))
  for (const [index, body] of bodies.entries()) {
    const status = answers[index]?.status
    assert.ok(body.startsWith('bad') ? status === 413 || status === 503 : status === 200 || status === 503, `${body}: ${status}`)
  }
  const later = answers.find(({ status }) => status === 503)
  assert.equal(later?.headers['retry-after'], '1')
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

const problemOf = (kind: string) => JSON.stringify({ type: `/problems/${kind}`, title: kind, status: 503, detail: kind })
const asProblem = { 'content-type': 'application/problem+json' }

/** A backend that answers every vote of a bundle, and remembers them. */
async function box(t: TestContext, answer: (vote: BundledVote) => { status: number; body: string }) {
  const got: string[] = []
  const { url } = await backend(t, async (request, response) => {
    const bundle = JSON.parse(Buffer.concat(await request.toArray()).toString()) as BundledVote[]
    got.push(...bundle.map(({ body }) => body))
    response.end(JSON.stringify(bundle.map((vote) => ({ headers: {}, ...answer(vote) }))))
  })
  return { url, got }
}
const accepting = (t: TestContext) => box(t, ({ body }) => ({ status: 200, body: `counted ${body}` }))

test('gives another backend the votes of a bundle that one did not cast, and no others', async (t) => {
  for (const kind of ['overloaded', 'draining']) {
    const leaving = await box(t, ({ body }) => (body === 'one' ? { status: 200, body } : { status: 503, body: problemOf(kind) }))
    const other = await accepting(t)
    const client = createBackendClient({ backendUrls: [leaving.url, other.url], log: silent })
    const answers = await client.castVotes(votes('one', 'two', 'three'))
    assert.deepEqual(
      answers.map(({ body }) => body),
      ['one', 'counted two', 'counted three'],
    )
    assert.deepEqual(
      [leaving.got, other.got],
      [
        ['one', 'two', 'three'],
        ['two', 'three'],
      ],
    )
    await client.castVotes(votes('four'))
    assert.deepEqual(other.got, ['two', 'three', 'four'], 'the next vote does not go to the one that leaves')
  }
})

test('does not repeat a vote of which a backend does not say that it was not cast', async (t) => {
  for (const body of [problemOf('unconfirmed'), problemOf('unavailable'), 'hello', '{"type":1}']) {
    const unsure = await box(t, () => ({ status: 503, body }))
    const other = await accepting(t)
    const [answer] = await createBackendClient({ backendUrls: [unsure.url, other.url], log: silent }).castVotes(votes('one'))
    assert.deepEqual([answer?.status, answer?.body, other.got], [503, body, []])
  }
})

test('gives another backend a whole bundle, or any other request, that one refused', async (t) => {
  const leaving = await backend(t, (_request, response) => response.writeHead(503, asProblem).end(problemOf('draining')))
  const other = await accepting(t)
  const client = createBackendClient({ backendUrls: [leaving.url, other.url], log: silent })
  assert.equal((await client.castVotes(votes('one')))[0]?.body, 'counted one')
  const here = await backend(t, (_request, response) => response.end('here'))
  for (const method of ['PUT', 'POST', 'GET']) {
    const answer = await createBackendClient({ backendUrls: [leaving.url, here.url], log: silent }).fetch({ ...put(), method })
    assert.deepEqual([answer.status, await answer.text()], [200, 'here'])
  }
})

test('passes on the refusal when every backend refuses, each asked once', async (t) => {
  const refusing = await Promise.all([1, 2].map(() => box(t, () => ({ status: 503, body: problemOf('overloaded') }))))
  const backendUrls = refusing.map(({ url }) => url)
  const [answer] = await createBackendClient({ backendUrls, log: silent }).castVotes(votes('one'))
  assert.deepEqual([answer?.status, answer?.body], [503, problemOf('overloaded')])
  assert.deepEqual(
    refusing.map(({ got }) => got.length),
    [1, 1],
  )
})

test('goes to another backend when one does not answer in time, and avoids that one from then on', async (t) => {
  let asked = 0
  const mute = await backend(t, () => (asked += 1))
  const other = await accepting(t)
  const here = await backend(t, (_request, response) => response.end('here'))
  const voting = createBackendClient({ backendUrls: [mute.url, other.url], log: silent, tryMs: 500 })
  const many = await Promise.all(Array.from({ length: 50 }, () => voting.castVotes(votes('one'))))
  assert.ok(many.every(([answer]) => answer?.body === 'counted one'))
  // on a slow machine some of them had no connection yet when their time was over
  const askedAtFirst = asked
  assert.ok(askedAtFirst > 0)
  await Promise.all(Array.from({ length: 50 }, () => voting.castVotes(votes('two'))))
  assert.equal(asked, askedAtFirst)
  const reading = createBackendClient({ backendUrls: [mute.url, here.url], log: silent, tryMs: 500 })
  // more than are sent at a time, so that some of them stand in line
  const reads = await Promise.all(Array.from({ length: 100 }, () => reading.fetch(get('/'))))
  for (const answer of reads) assert.equal(await answer.text(), 'here')
})

test('does not start over elsewhere what one backend may still be at and that is no vote', async (t) => {
  const mute = await backend(t, () => {})
  const other = await accepting(t)
  for (const method of ['POST', 'PATCH', 'DELETE']) {
    const client = createBackendClient({ backendUrls: [mute.url, other.url], log: silent, tryMs: 20, patienceMs: 100 })
    assert.equal((await client.fetch({ ...put(), method })).status, 504)
  }
  assert.deepEqual(other.got, [])
})

test('says 504 within its patience when every backend hangs, also to reads that stand in line', async (t) => {
  const mute = await Promise.all([backend(t, () => {}), backend(t, () => {})])
  const client = createBackendClient({ backendUrls: mute.map(({ url }) => url), log: silent, tryMs: 100, patienceMs: 300 })
  const startedAt = performance.now()
  const answers = await Promise.all(Array.from({ length: 40 }, () => client.fetch(get('/'))))
  assert.ok(answers.every(({ status }) => status === 504))
  assert.ok(performance.now() - startedAt < 2_000)
})

test('lets an answer that has begun take its time', async (t) => {
  const { url } = await backend(t, (_request, response) => {
    response.write('first')
    setTimeout(() => response.end(' last'), 400)
  })
  const client = createBackendClient({ backendUrls: [url], log: silent, tryMs: 100, patienceMs: 200 })
  assert.equal(await (await client.fetch(get('/export'))).text(), 'first last')
})

test('says that it is not known whether a vote was counted when one try may have done it and the next is refused', async (t) => {
  const refusal = problemOf('overloaded')
  const refusals: readonly Answer[] = [
    (_request, response) => response.writeHead(503, asProblem).end(refusal),
    (_request, response) => response.writeHead(503, asProblem).end(problemOf('unavailable')),
    async (request, response) => {
      const bundle = JSON.parse(Buffer.concat(await request.toArray()).toString()) as BundledVote[]
      const answerTo = (body: string) =>
        ({
          one: { status: 200, body },
          two: { status: 503, body: refusal },
          three: { status: 409, body: problemOf('poll-closed') },
        })[body]
      response.end(
        JSON.stringify(
          bundle.map(({ body }) => ({ headers: {}, status: 503, body: problemOf('unavailable'), ...answerTo(body) })),
        ),
      )
    },
  ]
  // one that stores the votes later, and one that has stored them and fails
  const unsure: readonly Answer[] = [() => {}, (request) => request.socket.resetAndDestroy()]
  for (const first of unsure) {
    for (const then of refusals) {
      let requests = 0
      const { url } = await backend(t, (request, response) => (++requests === 1 ? first : then)(request, response))
      const client = createBackendClient({ backendUrls: [url], log: silent, tryMs: 300, patienceMs: 5_000 })
      const [one, two, three] = await client.castVotes(votes('one', 'two', 'three'))
      assert.deepEqual([one?.status, two?.status, three?.status], [then === refusals[2] ? 200 : 504, 504, 504])
      assert.match(two?.body ?? '', /not known/)
    }
    const leaving = await backend(t, (request, response) => {
      leaving.server.close()
      first(request, response)
    })
    const client = createBackendClient({ backendUrls: [leaving.url], log: silent, tryMs: 300, patienceMs: 1_000 })
    const [answer] = await client.castVotes(votes('one'))
    assert.equal(answer?.status, 504, 'nobody is there for the second try')
  }
})

test('passes on a refusal that holds whatever an earlier try did', async (t) => {
  let requests = 0
  const { url } = await backend(t, (_request, response) => {
    const answer = (kind: string) => ({ headers: {}, status: 409, body: problemOf(kind) })
    // the first try hangs
    if (++requests > 1) response.end(JSON.stringify([answer('superseded'), answer('already-voted'), answer('poll-not-open')]))
  })
  const client = createBackendClient({ backendUrls: [url], log: silent, tryMs: 300, patienceMs: 5_000 })
  assert.deepEqual(
    (await client.castVotes(votes('one', 'two', 'three'))).map(({ status }) => status),
    [409, 409, 504],
  )
})

test('passes on the refusal of a read that another backend did not answer, since a read changes nothing', async (t) => {
  const mute = await backend(t, () => {})
  const busy = await backend(t, (_request, response) => response.writeHead(503, asProblem).end(problemOf('overloaded')))
  const client = createBackendClient({ backendUrls: [mute.url, busy.url], log: silent, tryMs: 100, patienceMs: 2_000 })
  assert.equal(await (await client.fetch(get('/'))).text(), problemOf('overloaded'))
})

test('reads of histories and exports wait for each other, and for no other read', async (t) => {
  const held = new Map<string, ServerResponse[]>()
  const { url } = await backend(t, (request, response) => {
    const path = String(request.url).split('?')[0] ?? ''
    held.set(path, [...(held.get(path) ?? []), response])
    if (path === '/api/polls/tea') response.end('tea')
  })
  const client = createBackendClient({ backendUrls: [url], log: silent })
  const targets = ['/api/polls/tea/history?step=1s', '/api/polls/tea/export.csv', '/api/polls/tea/%68istory'] as const
  const slow = Array.from({ length: 40 }, (_, index) => client.fetch(get(targets[index % 3] ?? '')))
  assert.equal(await (await client.fetch(get('/api/polls/tea'))).text(), 'tea')
  const atOnce = [...held.values()].flat().length - 1
  assert.ok(atOnce <= 4, `${atOnce} slow reads at once`)
  const answering = setInterval(() => [...held.values()].flat().forEach((response) => response.end('slow')), 5)
  t.after(() => clearInterval(answering))
  for (const answer of await Promise.all(slow)) assert.equal(answer.status, 200)
})

test('a read that is ahead of the line is asked at once, and one whose sender has gone not at all', async (t) => {
  const asked: (string | undefined)[] = []
  const responses: ServerResponse[] = []
  const { url } = await backend(t, (request, response) => {
    asked.push(request.url)
    if (request.url === '/ahead') response.end('here')
    else responses.push(response)
  })
  const client = createBackendClient({ backendUrls: [url], log: silent })
  const isGone = new Set<number>()
  const reads = Array.from({ length: 40 }, (_, index) =>
    client.fetch({ ...get(`/${index}`), isAwaited: () => !isGone.has(index) }),
  )
  assert.equal(await (await client.fetch({ ...get('/ahead'), isAheadOfLine: true })).text(), 'here')
  for (let index = 16; index < 39; index += 1) isGone.add(index)
  const answering = setInterval(() => responses.forEach((response) => response.end('here')), 5)
  t.after(() => clearInterval(answering))
  assert.equal((await reads[39])?.status, 200)
  assert.deepEqual(asked.filter((target) => target !== '/ahead').length, 17)
  await Promise.all(reads)
})
