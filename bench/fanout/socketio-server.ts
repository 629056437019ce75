/** Socket.IO 4 with its Redis adapter: a room for each poll, news from another node of the cluster. `REDIS_URL`, `REDIS_KEY`. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createAdapter } from '@socket.io/redis-adapter'
import { Redis } from 'ioredis'
import { Server } from 'socket.io'

const url = process.env['REDIS_URL'] ?? ''
const latest = new Map<string, unknown>()

const [publisher, subscriber] = [new Redis(url), new Redis(url)]
const http = createServer()
const io = new Server(http, {
  transports: ['websocket'],
  adapter: createAdapter(publisher, subscriber, { key: process.env['REDIS_KEY'] ?? 'socket.io' }),
})
io.on('connection', async (socket) => {
  // of parameters that repeat, its query keeps one
  const polls = String(socket.handshake.query['polls']).split(',')
  await socket.join(polls)
  for (const name of polls) if (latest.has(name)) socket.emit('tally', latest.get(name))
})
// the newest tally of each poll, for those who connect: told by the node that publishes, as the rooms' news are
io.on('latest', (poll: string, tally: unknown) => latest.set(poll, tally))

// answered after the subscriptions: from here on no news are missed
await subscriber.ping()
http.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ msg: 'listening', port: (http.address() as AddressInfo).port })))
process.stdin.on('end', () => process.exit(0)).resume()
