import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { openRelay, type Relay } from './relay.ts'

/** A server that sends back what it receives, behind a relay. */
async function echoThroughRelay(t: TestContext): Promise<Relay> {
  const server = createServer((socket) => void socket.on('error', () => {}).pipe(socket)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const relay = await openRelay((server.address() as AddressInfo).port)
  t.after(async () => {
    await relay.stop()
    server.close()
  })
  return relay
}

async function dial(t: TestContext, { port }: Relay): Promise<Socket> {
  const socket = connect(port, '127.0.0.1').setEncoding('utf8')
  t.after(() => socket.destroy())
  await once(socket, 'connect')
  return socket
}

test('what is held back comes in order once it is resumed, on old and on new connections', async (t) => {
  const relay = await echoThroughRelay(t)
  const before = await dial(t, relay)
  before.write('one')
  assert.deepEqual(await once(before, 'data'), ['one'])
  relay.hold()
  const during = await dial(t, relay)
  before.write('two')
  during.write('two')
  const heard: string[] = []
  for (const socket of [before, during]) socket.on('data', (text) => heard.push(String(text)))
  await delay(100)
  assert.deepEqual(heard, [])
  const all = Promise.all([once(before, 'data'), once(during, 'data')])
  relay.resume()
  assert.deepEqual(await all, [['two'], ['two']])
})

test('a cut loses what was held back and resets connections; the next ones work', async (t) => {
  const relay = await echoThroughRelay(t)
  const socket = await dial(t, relay)
  relay.hold()
  socket.write('lost')
  const [error] = await Promise.all([once(socket, 'error'), delay(20).then(() => relay.cut())])
  assert.equal((error[0] as NodeJS.ErrnoException).code, 'ECONNRESET')
  const next = await dial(t, relay)
  next.write('again')
  assert.deepEqual(await once(next, 'data'), ['again'])
})

test('where nobody listens a connection is reset', async (t) => {
  const closed = createServer().listen(0, '127.0.0.1')
  await once(closed, 'listening')
  const { port } = closed.address() as AddressInfo
  closed.close()
  const relay = await openRelay(port)
  t.after(() => relay.stop())
  const socket = connect(relay.port, '127.0.0.1')
  const [error] = (await once(socket, 'error')) as [NodeJS.ErrnoException]
  assert.equal(error.code, 'ECONNRESET')
})
