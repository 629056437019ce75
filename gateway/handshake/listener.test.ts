import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createListener } from './listener.ts'

const HANDSHAKE =
  'GET /ws?poll=tea HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

/** A server that answers requests with their path and body, and handshakes with who took them and what they sent. */
async function serve(t: TestContext) {
  let elapsed = 0
  let looksAtClock = 0
  const server = createServer({ connectionsCheckingInterval: 20 }, (request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => response.end(`${request.url} ${body}`))
  })
  const heard: { by: 'listener' | 'http'; url: string | undefined; host: string | undefined }[] = []
  const upgradeBy = (by: 'listener' | 'http') => (request: IncomingMessage, stream: Socket, head: Buffer) => {
    heard.push({ by, url: request.url, host: request.headers.host })
    stream.on('error', () => {})
    stream.end(`HTTP/1.1 101 ${by} ${head.toString()}\r\n\r\n`)
  }
  server.on('upgrade', upgradeBy('http'))
  const look = () => {
    looksAtClock += 1
    return elapsed
  }
  const listener = createListener({
    server,
    upgrade: upgradeBy('listener'),
    admit: () => true,
    elapsed: look,
    silenceMs: 1_000,
  })
  const port = await listener.listen({ port: 0, host: '127.0.0.1' })
  const clients: Socket[] = []
  t.after(() => {
    for (const client of clients) client.destroy()
    listener.close()
    server.close()
  })
  const open = () => {
    const client = connect(port, '127.0.0.1')
    client.on('error', () => {})
    clients.push(client)
    return client
  }
  /** A connection that has sent nothing yet; the listener has noted since when it reads from it. */
  const openAndBeReadFrom = async () => {
    const looksBefore = looksAtClock
    const client = open()
    while (looksAtClock === looksBefore) await turn()
    return client
  }
  return { listener, openAndBeReadFrom, heard, open, server, port, pass: (ms: number) => void (elapsed += ms) }
}

async function answer(client: Socket, until: RegExp): Promise<string> {
  let text = ''
  while (!until.test(text)) text += String((await once(client, 'data'))[0])
  return text
}

test('a plain handshake is taken without HTTP, with what comes right behind it', async (t) => {
  const { open, heard } = await serve(t)
  const client = open()
  client.write(`${HANDSHAKE}early`)
  assert.match(await answer(client, /\r\n\r\n/), /101 listener early/)
  assert.deepEqual(heard, [{ by: 'listener', url: '/ws?poll=tea', host: 'x' }])
})

test('a handshake in pieces, and one on a connection that has carried other requests, come by HTTP', async (t) => {
  const { open, server } = await serve(t)
  const slow = open()
  slow.write(HANDSHAKE.slice(0, 30))
  const [stream] = (await once(server, 'connection')) as [Socket]
  while (stream.bytesRead < 30) await turn()
  slow.write(HANDSHAKE.slice(30))
  assert.match(await answer(slow, /\r\n\r\n/), /101 http/)
  const kept = open()
  kept.write('GET /live HTTP/1.1\r\nHost: x\r\n\r\n')
  await answer(kept, /\/live /)
  kept.write(HANDSHAKE)
  assert.match(await answer(kept, /101 .*\r\n\r\n/), /101 http/)
})

test('everything else reaches the HTTP server whole: long bodies, several requests at once, nonsense', async (t) => {
  const { open } = await serve(t)
  const body = 'x'.repeat(300_000)
  const long = open()
  long.write(`PUT /long HTTP/1.1\r\nHost: x\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`)
  let received = ''
  for await (const chunk of long) received += String(chunk)
  assert.ok(received.endsWith(`/long ${body}`))
  const several = open()
  several.write('GET /one HTTP/1.1\r\nHost: x\r\n\r\nGET /two HTTP/1.1\r\nHost: x\r\n\r\n')
  await answer(several, /\/one [\s\S]*\/two /)
  const nonsense = open()
  nonsense.write('hello\r\n\r\n')
  await answer(nonsense, /^HTTP\/1\.1 400 /)
})

test('a crowd that comes at once is heard, all of it', async (t) => {
  const { open, heard } = await serve(t)
  await Promise.all(
    Array.from({ length: 300 }, async () => {
      const client = open()
      client.write(HANDSHAKE)
      await answer(client, /101 listener/)
    }),
  )
  assert.equal(heard.length, 300)
})

test('of a crowd that connects first and then sends at once, few are taken up in a turn', async (t) => {
  const { openAndBeReadFrom, heard } = await serve(t)
  const crowd: Socket[] = []
  while (crowd.length < 300) crowd.push(await openAndBeReadFrom())
  for (const client of crowd) client.write(HANDSHAKE)
  let most = 0
  for (let before = 0; heard.length < crowd.length; before = heard.length) {
    await turn()
    most = Math.max(most, heard.length - before)
  }
  assert.ok(most <= 32, `${most} handshakes in one turn`)
})

test('who says nothing is cut after a while, who says something in time is not', async (t) => {
  const { listener, openAndBeReadFrom, pass } = await serve(t)
  const mute = await openAndBeReadFrom()
  pass(900)
  const late = await openAndBeReadFrom()
  pass(200)
  listener.tick()
  await once(mute, 'close')
  late.write(HANDSHAKE)
  assert.match(await answer(late, /\r\n\r\n/), /101/)
})

test('connections that end or break before they say anything harm nobody', async (t) => {
  const { open, heard } = await serve(t)
  for (const leave of [(client: Socket) => client.end(), (client: Socket) => client.resetAndDestroy()]) {
    const client = open()
    await once(client, 'connect')
    leave(client)
    await once(client, 'close')
  }
  const client = open()
  client.write(HANDSHAKE)
  await answer(client, /101/)
  assert.equal(heard.length, 1)
})

test('closing cuts connections that have not said anything, leaves the others, and nobody listens any more', async (t) => {
  const { listener, open, openAndBeReadFrom, port } = await serve(t)
  const [mute, kept] = [await openAndBeReadFrom(), open()]
  kept.write('GET /live HTTP/1.1\r\nHost: x\r\n\r\n')
  await answer(kept, /\/live /)
  listener.close()
  await once(mute, 'close')
  kept.write('GET /again HTTP/1.1\r\nHost: x\r\n\r\n')
  await answer(kept, /\/again /)
  for (let tries = 0; tries < 20; tries += 1) {
    const [error] = (await once(connect(port, '127.0.0.1'), 'error')) as [NodeJS.ErrnoException]
    assert.equal(error.code, 'ECONNREFUSED')
  }
})

test('a port that another process has is refused, even if that one shares it among its own sockets', async (t) => {
  const { port } = await serve(t)
  const second = createListener({ server: createServer(), upgrade() {}, admit: () => true, elapsed: () => 0, silenceMs: 1_000 })
  await assert.rejects(second.listen({ port, host: '127.0.0.1' }), { code: 'EADDRINUSE' })
})

test('a request that is never finished is cut by the HTTP server', async (t) => {
  const { server, open } = await serve(t)
  server.headersTimeout = 1
  const client = open()
  client.write('GET /never HTTP/1.1\r\n')
  assert.match(await answer(client, /\r\n\r\n/), /^HTTP\/1\.1 408 /)
})
