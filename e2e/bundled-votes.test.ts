import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createConnection } from 'node:net'
import { test, type TestContext } from 'node:test'
import type { BundledAnswer, BundledVote } from '../shared/protocol/vote-bundle.ts'
import { createVoter, startCluster, type Running } from './support/cluster.ts'
import { startProxy } from './support/proxy.ts'

const POLL = {
  poll: 'cats-or-dogs',
  question: 'Cats or dogs?',
  options: [
    { id: 'cats', label: 'Cats' },
    { id: 'dogs', label: 'Dogs' },
  ],
}

/** An answer without the order that the backend gave the vote, which is another one each time. */
function withoutStamp(answer: unknown) {
  const { order, ...rest } = answer as { readonly order?: number }
  return { ...rest, order: order !== undefined && order > 1_000 ? 'a stamp' : order }
}

test('a vote in a bundle is answered as if it had come alone', async (t) => {
  const cluster = await startCluster()
  t.after(() => cluster[Symbol.asyncDispose]())
  const gateway = cluster.gateways[0]?.url ?? ''
  const backend = cluster.backends[0]?.url ?? ''
  await cluster.admin('POST', '/api/polls', POLL)
  await cluster.admin('POST', '/api/polls', { ...POLL, poll: 'closed' })
  await cluster.admin('PATCH', '/api/polls/closed', { state: 'closed' })
  await cluster.admin('POST', '/api/polls', { ...POLL, poll: 'final', changeAllowed: false })
  await cluster.admin('POST', '/api/polls', { ...POLL, poll: 'by-ticket', policy: 'ticket' })
  const voters = await Promise.all(Array.from({ length: 3 }, () => createVoter(gateway, POLL.poll)))
  const [cookie = '', another = '', third = ''] = voters.map((voter) => voter.cookie)
  const json = '{"option":"cats"}'
  const votes: Omit<BundledVote, 'requestId'>[] = [
    { poll: POLL.poll, body: json, cookie, isSecure: false },
    { poll: POLL.poll, body: '{"option":"dogs"}', cookie: another, isSecure: false },
    { poll: POLL.poll, body: '{"option":"birds"}', cookie, isSecure: false },
    { poll: POLL.poll, body: '{"option":7}', cookie, isSecure: false },
    { poll: POLL.poll, body: '{"option":"cats","order":9000000000000000}', cookie, isSecure: false },
    { poll: POLL.poll, body: '{"option":"cats","order":1.5}', cookie, isSecure: false },
    { poll: POLL.poll, body: '{"option":"cats","order":7}', cookie: third, isSecure: false },
    { poll: POLL.poll, body: '{"option":"dogs","order":6}', cookie: third, isSecure: false },
    { poll: POLL.poll, body: '{"option":"cats","more":1}', cookie, isSecure: false },
    { poll: POLL.poll, body: '{"option":', cookie, isSecure: false },
    { poll: POLL.poll, body: json, isSecure: false },
    { poll: POLL.poll, body: json, isSecure: true },
    { poll: POLL.poll, body: json, cookie: 'voter=made-up.signature', isSecure: false },
    { poll: POLL.poll, body: json, cookie: `${cookie.slice(0, -6)}AAAA%3D`, isSecure: false },
    { poll: POLL.poll, body: json, cookie: `other=1; ${cookie}`, isSecure: false },
    { poll: 'nobody-knows', body: json, cookie, isSecure: false },
    { poll: 'closed', body: json, cookie, isSecure: false },
    { poll: 'final', body: json, cookie, isSecure: false },
    { poll: 'final', body: '{"option":"dogs"}', cookie, isSecure: false },
    { poll: 'by-ticket', body: json, cookie, isSecure: false },
    { poll: 'by-ticket', body: json, ticket: 'made-up', isSecure: false },
  ]
  // twice, so that who comes first makes no difference
  for (let round = 0; round < 2; round += 1) {
    const together = await fetch(`${backend}/votes`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(votes.map((vote) => ({ ...vote, requestId: 'r' }))),
    })
    const answers = (await together.json()) as BundledAnswer[]
    assert.equal(answers.length, votes.length)
    for (const [index, { poll, body, cookie: sent, ticket, isSecure }] of votes.entries()) {
      const alone = await fetch(`${backend}/api/polls/${poll}/vote`, {
        method: 'PUT',
        headers: {
          'content-type': 'application/json',
          ...(sent === undefined ? {} : { cookie: sent }),
          ...(ticket === undefined ? {} : { 'livetally-ticket': ticket }),
          ...(isSecure ? { 'x-forwarded-proto': 'https' } : {}),
        },
        body,
      })
      const said = `${JSON.stringify(votes[index])} → ${JSON.stringify(answers[index])}`
      assert.equal(answers[index]?.status, alone.status, said)
      assert.deepEqual(withoutStamp(JSON.parse(answers[index]?.body ?? '')), withoutStamp(await alone.json()), said)
      for (const name of ['content-type', 'cache-control', 'retry-after']) {
        assert.equal(answers[index]?.headers[name] ?? null, alone.headers.get(name), `${name} of ${said}`)
      }
      const cookieOf = (header: string | null | undefined) => header?.split('=', 1)[0]
      assert.equal(cookieOf(answers[index]?.headers['set-cookie']), cookieOf(alone.headers.get('set-cookie')), said)
    }
  }
})

test('what is no bundle is refused as a whole, with what is wrong', async (t) => {
  const cluster = await startCluster({ gateways: 0 })
  t.after(() => cluster[Symbol.asyncDispose]())
  const backend = cluster.backends[0]?.url ?? ''
  const headers = { 'content-type': 'application/json' }
  const vote = { poll: POLL.poll, body: '{}', isSecure: false, requestId: 'r' }
  for (const [body, status] of [
    ['{', 400],
    ['{}', 400],
    [JSON.stringify([{ ...vote, poll: 'No Poll' }]), 400],
    [JSON.stringify(Array.from({ length: 501 }, () => vote)), 400],
    [JSON.stringify([{ ...vote, cookie: 'x'.repeat(4_200_000) }]), 413],
  ] as const) {
    const answer = await fetch(`${backend}/votes`, { method: 'PUT', headers, body })
    assert.equal(answer.status, status, body.slice(0, 80))
    assert.match(((await answer.json()) as { type: string }).type, status === 400 ? /bad-body/ : /too-large/)
  }
})

test('a crowd that votes at once is counted to the last vote, and the gateway passes no bundle of anybody else', async (t) => {
  const cluster = await startCluster()
  t.after(() => cluster[Symbol.asyncDispose]())
  const url = cluster.gateways[0]?.url ?? ''
  await cluster.admin('POST', '/api/polls', POLL)
  const voters = await Promise.all(Array.from({ length: 200 }, () => createVoter(url, POLL.poll)))
  const statuses = await Promise.all(voters.map(async (voter) => (await voter.vote(url, 'dogs')).status))
  assert.deepEqual(new Set(statuses), new Set([200]))
  const { tally } = (await (await fetch(`${url}/api/polls/${POLL.poll}`)).json()) as { tally: { counts: object } }
  assert.deepEqual(tally.counts, { cats: 0, dogs: 200 })
  assert.equal((await fetch(`${url}/votes`, { method: 'PUT', body: '[]' })).status, 404)
})

/** As many votes as `bodies`, each on a connection of its own, of which the gateway reads all in one turn. */
async function voteInOneTurn(gateway: Running, votes: readonly { readonly cookie: string; readonly body: string }[]) {
  const { port } = new URL(gateway.url)
  const connections = await Promise.all(
    votes.map(async () => {
      const connection = createConnection(Number(port), '127.0.0.1').setEncoding('utf8')
      connection.write(`GET /live HTTP/1.1\r\nhost: ${new URL(gateway.url).host}\r\n\r\n`)
      await once(connection, 'data')
      return connection
    }),
  )
  gateway.child.send('SIGSTOP')
  const answers = connections.map(async (connection) => {
    const [text] = (await once(connection, 'data')) as [string]
    connection.destroy()
    return { status: Number(text.split(' ')[1]), text }
  })
  await Promise.all(
    connections.map((connection, index) => {
      const { cookie, body } = votes[index] ?? { cookie: '', body: '' }
      const head = `PUT /api/polls/${POLL.poll}/vote HTTP/1.1\r\nhost: ${new URL(gateway.url).host}\r\ncookie: ${cookie}\r\n`
      const fields = `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n`
      return new Promise((resolve) => connection.write(head + fields + body, resolve))
    }),
  )
  gateway.child.send('SIGCONT')
  return await Promise.all(answers)
}

/** nginx before a backend, with its own limit on bodies unless another one is given. */
async function startNginxBefore(t: TestContext, backend: string, limit = '') {
  const nginx = await startProxy({
    program: 'nginx',
    shipped: 'infra/nginx/livetally.conf',
    adapt: (_, { plainPort, directory }) => `
      ${process.getuid?.() === 0 ? 'user root root;' : ''}
      daemon off;
      pid ${directory}/pid;
      error_log stderr notice;
      events { worker_connections 512; }
      http {
        access_log off;
        ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((use) => `${use}_temp_path ${directory}/${use};`).join(' ')}
        ${limit}
        server { listen 127.0.0.1:${plainPort}; location / { proxy_pass ${backend}; proxy_set_header Host $http_host; } }
      }`,
    args: (file) => ['-e', 'stderr', '-c', file],
    readyLine: /start worker process /,
  })
  t.after(() => nginx[Symbol.asyncDispose]())
  return `http://127.0.0.1:${new URL(nginx.plainUrl).port}`
}

test('whoever sends votes that become too large on the way to the backend harms nobody else', { timeout: 120_000 }, async (t) => {
  const cluster = await startCluster({ gateways: 0 })
  t.after(() => cluster[Symbol.asyncDispose]())
  const backend = cluster.backends[0]?.url ?? ''
  // JSON writes a control character in six bytes, so the three together are more than 1 MiB
  const large = '\u0001'.repeat(65_000)
  for (const [limit, bodies, refusals] of [
    ['', [large, large, large], [400, 400, 400]],
    ['client_max_body_size 64k;', [large, large.slice(0, 20_000)], [413, 413]],
  ] as const) {
    const gateway = await cluster.startGateway({ BACKEND_URL: await startNginxBefore(t, backend, limit) })
    await cluster.admin('POST', '/api/polls', POLL)
    const voters = await Promise.all(Array.from({ length: 20 }, () => createVoter(gateway.url, POLL.poll)))
    const honest = voters.map(({ cookie }) => ({ cookie, body: '{"option":"cats"}' }))
    const hostile = bodies.map((body) => ({ cookie: 'voter=x', body }))
    const answers = await voteInOneTurn(gateway, [...honest.slice(0, 10), ...hostile, ...honest.slice(10)])
    const refused = answers.splice(10, hostile.length)
    assert.deepEqual(
      answers.map(({ status }) => status),
      honest.map(() => 200),
    )
    assert.deepEqual(
      refused.map(({ status }) => status),
      refusals,
    )
    for (const { text } of refused) assert.match(text, /application\/problem\+json[^]*"detail":"[A-Z]/)
  }
})
