import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { createAcceptor } from './acceptor.ts'
import { listenWide } from './wide-listener.ts'

const HANDSHAKE =
  'GET /ws?poll=tea HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'

/** A server that answers requests with their path and body, and handshakes with who heard them and what they said. */
async function serve(t: TestContext) {
  let elapsed = 0
  const server = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk: Buffer) => (body += chunk.toString()))
    request.on('end', () => response.end(`${request.url} ${body}`))
  })
  const heard: { by: 'acceptor' | 'http'; url: string | undefined; host: string | undefined }[] = []
  const upgradeBy = (by: 'acceptor' | 'http') => (request: IncomingMessage, stream: Socket, head: Buffer) => {
    heard.push({ by, url: request.url, host: request.headers.host })
    stream.on('error', () => {})
    stream.end(`HTTP/1.1 101 ${by} ${head.toString()}\r\n\r\n`)
  }
  server.on('upgrade', upgradeBy('http'))
  const acceptor = createAcceptor({ server, upgrade: upgradeBy('acceptor'), elapsed: () => elapsed, silenceMs: 1_000 })
  const listener = await listenWide(server, { port: 0, host: '127.0.0.1' })
  const clients: Socket[] = []
  t.after(() => {
    for (const client of clients) client.destroy()
    listener.close()
    acceptor.close()
    server.close()
  })
  const open = () => {
    const client = connect(listener.port, '127.0.0.1')
    client.on('error', () => {})
    clients.push(client)
    return client
  }
  return { acceptor, heard, open, server, pass: (ms: number) => void (elapsed += ms) }
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
  assert.match(await answer(client, /\r\n\r\n/), /101 acceptor early/)
  assert.deepEqual(heard, [{ by: 'acceptor', url: '/ws?poll=tea', host: 'x' }])
})

test('a handshake in pieces, and one on a connection that has carried other requests, come by HTTP', async (t) => {
  const { open, server } = await serve(t)
  const slow = open()
  const [stream] = (await once(server, 'connection')) as [Socket]
  slow.write(HANDSHAKE.slice(0, 30))
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
      await answer(client, /101 acceptor/)
    }),
  )
  assert.equal(heard.length, 300)
})

test('who says nothing is cut after a while, who says something in time is not', async (t) => {
  const { acceptor, open, server, pass } = await serve(t)
  const mute = open()
  await once(server, 'connection')
  // listened to in the next turns
  for (let turns = 0; turns < 3; turns += 1) await turn()
  pass(900)
  const late = open()
  await once(server, 'connection')
  for (let turns = 0; turns < 3; turns += 1) await turn()
  pass(200)
  acceptor.tick()
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

test('closing cuts who has not said anything, and nobody else', async (t) => {
  const { acceptor, open } = await serve(t)
  const [mute, kept] = [open(), open()]
  kept.write('GET /live HTTP/1.1\r\nHost: x\r\n\r\n')
  await answer(kept, /\/live /)
  acceptor.close()
  await once(mute, 'close')
  kept.write('GET /again HTTP/1.1\r\nHost: x\r\n\r\n')
  await answer(kept, /\/again /)
})
