import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { test } from 'node:test'
import { listenWide } from './wide-listener.ts'

const LOOPBACK = { port: 0, host: '127.0.0.1' }

test('a connection through whichever socket reaches the one server', async () => {
  const server = createServer((_request, response) => response.setHeader('connection', 'close').end('here'))
  const listener = await listenWide(server, LOOPBACK)
  const answers = await Promise.all(
    Array.from({ length: 40 }, async () => await (await fetch(`http://127.0.0.1:${listener.port}`)).text()),
  )
  assert.deepEqual(new Set(answers), new Set(['here']))
  listener.close()
  server.close()
})

test('a port that somebody else has is refused, even if they share it with themselves', async () => {
  const [first, second] = [createServer(), createServer()]
  const listener = await listenWide(first, LOOPBACK)
  await assert.rejects(listenWide(second, { ...LOOPBACK, port: listener.port }), { code: 'EADDRINUSE' })
  listener.close()
  first.close()
})

test('once all of it is closed nobody listens', async () => {
  const server = createServer()
  const { port, close } = await listenWide(server, LOOPBACK)
  close()
  server.close()
  for (let tries = 0; tries < 20; tries += 1) {
    const client = connect(port, '127.0.0.1')
    const [error] = (await once(client, 'error')) as [NodeJS.ErrnoException]
    assert.equal(error.code, 'ECONNREFUSED')
  }
})
