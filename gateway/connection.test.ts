import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import { WebSocket, WebSocketServer } from 'ws'
import { Connection } from './connection.ts'
import { wireFrame } from './wire-frame.ts'

/** A real server whose sockets become connections. */
async function serve(t: TestContext) {
  const wss = new WebSocketServer({ noServer: true, clientTracking: false })
  const server: Server = createServer()
  const connections: { connection: Connection; stream: Socket; closed: Promise<number> }[] = []
  let drained = 0
  server.on('upgrade', (request: IncomingMessage, stream: Socket, head: Buffer) => {
    wss.handleUpgrade(request, stream, head, (socket) => {
      socket.on('error', () => {})
      const closed = once(socket, 'close').then(([code]) => Number(code))
      const onDrained = () => void (drained += 1)
      connections.push({
        connection: new Connection({ socket, stream, polls: ['p'], address: '', onDrained, now: 0 }),
        stream,
        closed,
      })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const { connection } of connections) connection.terminate()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  return { port, connections, drains: () => drained }
}

/** A WebSocket client that does not read until it is told to. */
async function openDeaf(port: number): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1' })
  socket.write(
    'GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  )
  const [head] = (await once(socket, 'data')) as [Buffer]
  assert.match(head.toString('latin1'), /^HTTP\/1\.1 101 [\s\S]*\r\n\r\n$/)
  socket.pause()
  return socket
}

test('frames of every length arrive whole', async (t) => {
  const { port, connections } = await serve(t)
  const client = new WebSocket(`ws://127.0.0.1:${port}`)
  await once(client, 'open')
  for (const length of [0, 1, 125, 126, 65_535, 65_536, 200_000]) {
    const text = 'é'.repeat(Math.floor(length / 2)).padEnd(length - Math.floor(length / 2), 'x')
    const received = once(client, 'message')
    connections[0]?.connection.write(wireFrame(text), 0)
    const [data] = (await received) as [Buffer]
    assert.equal(data.toString(), text)
  }
  client.close()
})

test('no frame is ever cut in two by another, however full the kernel is', async (t) => {
  const { port, connections, drains } = await serve(t)
  const client = await openDeaf(port)
  const [entry] = connections
  assert.ok(entry !== undefined)
  const { connection, stream } = entry
  // numbered frames of odd lengths until the kernel takes no more, and pings in between as ws sends them
  let sent = 0
  let refused = 0
  for (let number = 0; refused < 50; number += 1) {
    if (connection.write(wireFrame(`${number} ${'x'.repeat(1 + ((number * 7_919) % 30_000))}`), 0)) sent += 1
    else refused += 1
    connection.checkAlive(number * 20_000, { pingIntervalMs: 1, slowMs: 1e9 })
    connection.heardPong()
  }
  assert.ok(
    stream.writableLength > 0 && stream.writableLength <= 30_100 + 60 * 10,
    `${stream.writableLength} bytes wait in the process`,
  )

  // now read it all with a parser of our own
  const chunks: Buffer[] = []
  client.on('data', (chunk: Buffer) => chunks.push(chunk)).resume()
  while (drains() === 0) await turn()
  assert.equal(connection.write(wireFrame('last'), 0), true, 'it takes frames again')
  const texts: string[] = []
  while (texts.at(-1) !== 'last') {
    await once(client, 'data')
    texts.length = 0
    const bytes = Buffer.concat(chunks)
    for (let at = 0; at + 2 <= bytes.length;) {
      const opcode = bytes[at] ?? 0
      assert.ok(opcode === 0x81 || opcode === 0x89, `byte ${at} begins a text frame or a ping, not ${opcode}`)
      const short = bytes[at + 1] ?? 0
      const start = at + (short < 126 ? 2 : 4)
      const end = start + (short < 126 ? short : bytes.length < at + 4 ? Infinity : bytes.readUInt16BE(at + 2))
      if (end > bytes.length) break
      if (opcode === 0x81) texts.push(bytes.toString('utf8', start, end))
      at = end
    }
  }
  const numbers = texts.slice(0, -1).map((text) => Number.parseInt(text, 10))
  assert.equal(numbers.length, sent)
  assert.ok(
    numbers.every((number, index) => number === index),
    'in order, none twice',
  )
  client.destroy()
})

test('sockets that vanish in the middle of a round harm nobody', async (t) => {
  const { port, connections } = await serve(t)
  const clients = await Promise.all(Array.from({ length: 50 }, () => openDeaf(port)))
  const healthy = new WebSocket(`ws://127.0.0.1:${port}`)
  await once(healthy, 'open')
  const frame = wireFrame('x'.repeat(2_000))
  let received = 0
  healthy.on('message', () => void (received += 1))
  const closes = Promise.all(connections.slice(0, 50).map(({ closed }) => closed))
  for (let round = 0; round < 50; round += 1) {
    const client = clients[round]
    // half of them with a reset, half with an end
    if (round % 2 === 0) client?.resetAndDestroy()
    else client?.destroy()
    for (const { connection } of connections) connection.write(frame, 0)
    await turn()
  }
  await closes
  while (received < 50) await turn()
  assert.equal(received, 50)
  healthy.close()
})

test('a client that stops reading is found by the ping it does not answer, long before the kernel is full', async (t) => {
  const { port, connections } = await serve(t)
  const deaf = await openDeaf(port)
  const reading = new WebSocket(`ws://127.0.0.1:${port}`)
  await once(reading, 'open')
  const [first, second] = connections
  assert.ok(first !== undefined && second !== undefined)
  const limits = { pingIntervalMs: 100, slowMs: 200 }
  const frame = wireFrame('x'.repeat(200))
  let closedWith: number | undefined
  void first.closed.then((code) => (closedWith = code))
  const startedAt = Date.now()
  while (closedWith === undefined && Date.now() - startedAt < 5_000) {
    for (const { connection } of connections) {
      connection.write(frame, Date.now())
      connection.checkAlive(Date.now(), limits)
    }
    assert.equal(first.stream.writableLength, 0, 'the kernel took everything: only the ping tells')
    await delay(10)
    // nobody but a reader gets to see the close frame, so the server has to end it: as the closeTimeout of the gateway does
    if (first.connection.isClosing) first.connection.terminate()
  }
  assert.ok(Date.now() - startedAt < 2_000, 'found in time')
  assert.equal(second.connection.isClosing, false, 'who reads is kept')
  deaf.destroy()
  reading.close()
})
