import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { connect } from 'node:net'
import { test, type TestContext } from 'node:test'
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises'
import { WebSocket, WebSocketServer } from 'ws'
import { Connection } from './connection.ts'
import { textFrame } from './text-frame.ts'

/** A real server whose sockets become connections. */
async function serve(t: TestContext, prepare: (stream: Socket) => void = () => {}) {
  const wss = new WebSocketServer({ noServer: true, clientTracking: false, autoPong: false })
  const server: Server = createServer()
  const connections: { connection: Connection; socket: WebSocket; stream: Socket; closed: Promise<number> }[] = []
  let drained = 0
  let aheadMs = 0
  server.on('upgrade', (request: IncomingMessage, stream: Socket, head: Buffer) => {
    prepare(stream)
    wss.handleUpgrade(request, stream, head, (socket) => {
      socket.on('error', () => {})
      const closed = once(socket, 'close').then(([code]) => Number(code))
      const host = { now: () => Date.now() + aheadMs, drained: () => void (drained += 1) }
      connections.push({
        connection: new Connection({ socket, stream, slugs: ['p'], address: '', host }),
        socket,
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
  return { port, connections, drains: () => drained, pass: (ms: number) => void (aheadMs += ms) }
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
    connections[0]?.connection.write(textFrame(text))
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
    if (connection.write(textFrame(`${number} ${'x'.repeat(1 + ((number * 7_919) % 30_000))}`))) sent += 1
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
  assert.equal(connection.write(textFrame('last')), true, 'it takes frames again')
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

test('pings are answered with their own data, and while the kernel is full the newest of them, once it is not', async (t) => {
  const { port, connections } = await serve(t)
  const client = await openDeaf(port)
  const [entry] = connections
  assert.ok(entry !== undefined)
  const ping = (data: string) => client.write(Buffer.concat([Buffer.of(0x89, 0x80 + data.length, 0, 0, 0, 0), Buffer.from(data)]))
  const chunks: Buffer[] = []
  client.on('data', (chunk: Buffer) => chunks.push(chunk))
  const heard = async (pong: string) => {
    const bytes = Buffer.concat([Buffer.of(0x8a, pong.length), Buffer.from(pong)])
    while (!Buffer.concat(chunks).includes(bytes)) await once(client, 'data')
  }
  client.resume()
  ping('hello')
  await heard('hello')
  client.pause()
  const { connection, socket } = entry
  while (connection.write(textFrame('x'.repeat(60_000))));
  for (const data of ['one', 'two', 'three']) {
    const pinged = once(socket, 'ping')
    ping(data)
    await pinged
  }
  client.resume()
  await heard('three')
  const all = Buffer.concat(chunks)
  assert.equal(all.includes('one') || all.includes('two'), false)
  client.destroy()
})

test('an answer to the handshake that is still on its way is not overtaken, and what follows it is not either', async (t) => {
  const { port, connections } = await serve(t, (stream) => {
    // as if the kernel had not taken the stream's earlier bytes
    stream.cork()
    setTimeout(() => stream.uncork(), 20)
  })
  const client = new WebSocket(`ws://127.0.0.1:${port}`)
  const received: string[] = []
  client.on('message', (data: Buffer) => received.push(data.toString()))
  while (connections.length === 0) await turn()
  const { connection } = connections[0] ?? assert.fail()
  assert.equal(connection.write(textFrame('first')), true)
  assert.equal(connection.write(textFrame('too soon')), false)
  await once(client, 'message')
  while (!connection.write(textFrame('second'))) await turn()
  await once(client, 'message')
  assert.deepEqual(received, ['first', 'second'])
  client.close()
})

test('nothing is sent to the descriptor of a socket that is gone, which may be that of another by now', async (t) => {
  const { port, connections } = await serve(t)
  const client = new WebSocket(`ws://127.0.0.1:${port}`)
  await once(client, 'open')
  const { connection, stream, socket } = connections[0] ?? assert.fail()
  stream.destroy()
  assert.equal(socket.readyState, WebSocket.OPEN, 'the socket has not heard of it yet')
  assert.equal(connection.write(textFrame('for nobody')), false)
  await once(client, 'close')
})

test('sockets that vanish in the middle of a round harm nobody', async (t) => {
  const { port, connections } = await serve(t)
  const clients = await Promise.all(Array.from({ length: 50 }, () => openDeaf(port)))
  const healthy = new WebSocket(`ws://127.0.0.1:${port}`)
  await once(healthy, 'open')
  const frame = textFrame('x'.repeat(2_000))
  let received = 0
  healthy.on('message', () => void (received += 1))
  const closes = Promise.all(connections.slice(0, 50).map(({ closed }) => closed))
  for (let round = 0; round < 50; round += 1) {
    const client = clients[round]
    // half of them with a reset, half with an end
    if (round % 2 === 0) client?.resetAndDestroy()
    else client?.destroy()
    for (const { connection } of connections) connection.write(frame)
    await turn()
  }
  await closes
  while (received < 50) await turn()
  assert.equal(received, 50)
  healthy.close()
})

/** A ping, or another control frame without data, as a client masks it. */
const masked = (opcode: number) => Buffer.of(0x80 | opcode, 0x80, 0, 0, 0, 0)

test('a flood of pings or pongs is closed with 1008, and who sends twenty a second is answered', async (t) => {
  const { port, connections, pass } = await serve(t)
  for (const opcode of [0x9, 0xa]) {
    const client = await openDeaf(port)
    const { socket } = connections.at(-1) ?? assert.fail()
    const chunks: Buffer[] = []
    client.on('data', (chunk: Buffer) => chunks.push(chunk)).resume()
    let heard = 0
    socket.on(opcode === 0x9 ? 'ping' : 'pong', () => void (heard += 1))
    const send = (count: number) => client.write(Buffer.concat(Array.from({ length: count }, () => masked(opcode))))
    for (const second of [1, 2]) {
      send(20)
      while (heard < 20 * second) await turn()
      assert.equal(socket.readyState, WebSocket.OPEN, `after second ${second}`)
      if (second === 1) pass(1_000)
    }
    send(10_000)
    const close = Buffer.of(0x03, 0xf0) // 1008
    while (!Buffer.concat(chunks).includes(close)) await once(client, 'data')
    assert.notEqual(socket.readyState, WebSocket.OPEN)
    const pongs = Buffer.concat(chunks).toString('latin1').split('\x8a\x00').length - 1
    assert.equal(pongs, opcode === 0x9 ? 40 : 0, 'what is allowed is answered, and the flood is not')
    client.destroy()
  }
})

test('a client that stops reading is found by the ping it does not answer, long before the kernel is full', async (t) => {
  const { port, connections } = await serve(t)
  const deaf = await openDeaf(port)
  const reading = new WebSocket(`ws://127.0.0.1:${port}`)
  await once(reading, 'open')
  const [first, second] = connections
  assert.ok(first !== undefined && second !== undefined)
  const limits = { pingIntervalMs: 100, slowMs: 200 }
  const frame = textFrame('x'.repeat(200))
  let closedWith: number | undefined
  void first.closed.then((code) => (closedWith = code))
  const startedAt = Date.now()
  while (closedWith === undefined && Date.now() - startedAt < 5_000) {
    for (const { connection } of connections) {
      connection.write(frame)
      connection.checkAlive(Date.now(), limits)
    }
    assert.equal(first.stream.writableLength, 0, 'the kernel took everything: only the ping tells')
    await delay(10)
    // a client that does not read does not answer the close frame, so the server ends the connection, as the gateway's
    // closeTimeout does
    if (first.socket.readyState !== WebSocket.OPEN) first.connection.terminate()
  }
  assert.ok(Date.now() - startedAt < 2_000, 'found in time')
  assert.equal(second.socket.readyState, WebSocket.OPEN, 'who reads is kept')
  deaf.destroy()
  reading.close()
})
