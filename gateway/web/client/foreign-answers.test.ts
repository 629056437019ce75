/** What the SDK makes of handshakes that are answered by something before Livetally, such as a balancer or a login. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { WebSocketServer } from 'ws'
import { createTallyClient } from './tally-client.ts'

const HTML = 'Content-Type: text/html\r\n'
const PAGE = '<!doctype html><title>Sign in</title>'
const withPage = (status: string, fields = HTML) => `HTTP/1.1 ${status}\r\n${fields}Content-Length: ${PAGE.length}\r\n\r\n${PAGE}`
const ANSWERS = {
  '502 with a page': withPage('502 Bad Gateway'),
  '503 with nothing': 'HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n',
  '404 of a balancer that has lost its routes': withPage('404 Not Found'),
  '403 with a page': withPage('403 Forbidden'),
  'a challenge of the proxy': withPage('401 Unauthorized', `${HTML}WWW-Authenticate: Negotiate\r\n`),
  '200 with a login page': withPage('200 OK'),
  'a redirect to a login page': 'HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n',
  'half an answer': 'HTTP/1.1 101 Switching',
  nothing: '',
}

for (const [name, bytes] of Object.entries(ANSWERS)) {
  test(`a handshake that is answered by ${name} is tried again, and the client is live as soon as Livetally answers`, async (t) => {
    const server = createServer()
    const wire = new WebSocketServer({ noServer: true })
    let handshakes = 0
    server.on('upgrade', (request, socket, head) => {
      socket.on('error', () => {})
      if (++handshakes <= 2) return socket.end(bytes)
      return wire.handleUpgrade(request, socket, head, (peer) => {
        const [at, counts] = [new Date().toISOString(), { yes: 1 }]
        const place = { poll: 'tea', epoch: 1, version: 1 }
        const definition = { question: 'Tea?', options: [], state: 'open', resultsVisible: true, opensAt: null, closesAt: null }
        peer.send(JSON.stringify({ type: 'poll', ...place, ...definition }))
        peer.send(JSON.stringify({ type: 'tally', ...place, counts, total: 1, at }))
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = createTallyClient({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/ws`, random: () => 0 })
    t.after(() => {
      client.close()
      for (const peer of wire.clients) peer.terminate()
      server.closeAllConnections()
      server.close()
    })
    const states: string[] = []
    client.addEventListener('status', ({ detail }) => states.push(detail.state))
    const { total } = await new Promise<{ total: number }>((resolve) => void client.subscribe('tea', resolve))
    assert.equal(total, 1)
    assert.equal(client.status.state, 'live')
    assert.ok(!states.includes('closed'), states.join())
    assert.equal(handshakes, 3)
  })
}
