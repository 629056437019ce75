/** A backend that answers at once: every vote of a bundle is accepted, every GET gets a poll. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

const RECEIPT = { status: 200, headers: { 'content-type': 'application/json' }, body: '{"poll":"tea","option":"yes"}' }
const POLL = JSON.stringify({ poll: { type: 'poll', poll: 'tea' }, tally: { type: 'tally' }, ballot: null })

const server = createServer({ keepAliveTimeout: 95_000 }, (request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    const votes = request.method === 'PUT' ? (JSON.parse(Buffer.concat(chunks).toString()) as unknown[]) : undefined
    const body = votes === undefined ? POLL : JSON.stringify(votes.map(() => RECEIPT))
    response.writeHead(200, {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'cache-control': 'private, no-cache',
      'set-cookie': 'voter=abc; Path=/; HttpOnly',
    })
    response.end(body)
  })
})
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
process.on('disconnect', () => process.exit())
