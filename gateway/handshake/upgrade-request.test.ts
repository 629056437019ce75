import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { fuzz } from '../../e2e/support/fuzz.ts'
import { SERVER_OPTIONS } from '../../shared/lifecycle/http-server.ts'
import { readUpgradeRequest } from './upgrade-request.ts'

/** One of the characters. */
const oneOf = (characters: string) => fc.constantFrom(...characters.split(''))

const FIELDS = [
  'Host: localhost:8080',
  'Connection: keep-alive, Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
]
const request = (fields: readonly string[] = FIELDS, line = 'GET /ws?poll=tea HTTP/1.1') => [line, ...fields, '', ''].join('\r\n')
const read = (text: string) => readUpgradeRequest(Buffer.from(text, 'latin1'))
/** The fields with one in another form. */
const instead = (name: string, line: string) => FIELDS.map((field) => (field.startsWith(`${name}:`) ? line : field))

test('a plain request is read: its target, its fields by name in lower case, and what comes behind', () => {
  assert.deepEqual(read(`${request([...FIELDS, 'ORIGIN:\t http://a.example \t', 'Empty:'])}xyz`), {
    target: '/ws?poll=tea',
    headers: {
      host: 'localhost:8080',
      connection: 'keep-alive, Upgrade',
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      origin: 'http://a.example',
      empty: '',
    },
    rest: Buffer.from('xyz'),
  })
})

describe('a parser has to judge what is', () => {
  for (const [what, text] of [
    ['incomplete', request().slice(0, -1)],
    ['for another path', request(FIELDS, 'GET /wss?poll=tea HTTP/1.1')],
    ['an absolute target', request(FIELDS, 'GET http://localhost/ws?poll=tea HTTP/1.1')],
    ['another method', request(FIELDS, 'POST /ws?poll=tea HTTP/1.1')],
    ['another version', request(FIELDS, 'GET /ws?poll=tea HTTP/1.0')],
    ['a target with a space', request(FIELDS, 'GET /ws?poll= tea HTTP/1.1')],
    ['a line ended by LF alone', request().replace('Upgrade: websocket\r\n', 'Upgrade: websocket\n')],
    ['a CR inside a line', request(instead('Upgrade', 'Upgrade: web\rsocket'))],
    ['a folded line', request(instead('Upgrade', 'Upgrade:\r\n websocket'))],
    ['a space before a colon', request(instead('Upgrade', 'Upgrade : websocket'))],
    ['a field without a name', request([...FIELDS, ': x'])],
    ['a field without a colon', request([...FIELDS, 'x'])],
    ['not ASCII', request([...FIELDS, 'X: é'])],
    ['a field given twice', request([...FIELDS, 'host: other'])],
    ['a field named like what every object has', request([...FIELDS, '__proto__: x'])],
    ['without a host', request(FIELDS.slice(1))],
    ['another upgrade', request(instead('Upgrade', 'Upgrade: h2c'))],
    ['without a connection field', request(FIELDS.filter((field) => !field.startsWith('Connection')))],
    ['a connection field that only looks like it', request(instead('Connection', 'Connection: no-upgrade'))],
    ['with a length', request([...FIELDS, 'Content-Length: 0'])],
    ['with a transfer encoding', request([...FIELDS, 'Transfer-Encoding: chunked'])],
    ['too long', request([...FIELDS, `X: ${'x'.repeat(8_192)}`])],
  ] as const) {
    test(what, () => assert.equal(read(text), undefined))
  }
})

test('whatever is read, the HTTP server reads in the same way', async (t) => {
  const server = createServer(SERVER_OPTIONS)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const token = fc.string({ unit: oneOf('abcXYZ019-_!'), minLength: 1, maxLength: 12 })
  const value = fc.string({ unit: oneOf('aZ0 \t,;=/"\\()<>@:?[]{}'), maxLength: 20 })
  const line = fc.oneof(
    fc.tuple(token, value).map(([name, text]) => `${name}:${text}`),
    fc.constantFrom('Connection: close', 'Upgrade: h2c', 'Content-Length: 3', 'Host: b', ' folded', '', 'a b: c', 'a:\u0001'),
  )
  const target = fc.string({ unit: oneOf('poll=&x%/#?"<'), maxLength: 20 }).map((query) => `GET /ws?${query} HTTP/1.1`)
  let alike = 0
  await fc.assert(
    fc.asyncProperty(target, fc.array(line, { maxLength: 4 }), fc.nat(5), async (first, extra, at) => {
      const text = request([...FIELDS.slice(0, at), ...extra, ...FIELDS.slice(at)], first)
      const ours = read(text)
      if (ours === undefined) return
      alike += 1
      const client = connect(port, '127.0.0.1')
      client.write(text, 'latin1')
      const [seen, stream, head] = (await once(server, 'upgrade')) as [IncomingMessage, Socket, Buffer]
      assert.deepEqual({ target: seen.url, headers: { ...seen.headers }, rest: head }, { ...ours, rest: Buffer.from(ours.rest) })
      stream.destroy()
      client.destroy()
    }),
    fuzz(500),
  )
  assert.ok(alike > 100, `${alike} requests were compared`)
})
