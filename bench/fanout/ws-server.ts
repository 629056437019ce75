/** The contender most people write first: `ws` as it comes, and a JSON.stringify for each client. */
import { createInterface } from 'node:readline'
import { WebSocket, WebSocketServer } from 'ws'

const watchers = new Map<string, Set<WebSocket>>()
const latest = new Map<string, unknown>()

const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
server.on('connection', (socket, request) => {
  const polls = new URL(request.url ?? '/', 'http://localhost').searchParams.getAll('poll')
  for (const poll of polls) {
    const known = watchers.get(poll) ?? new Set()
    watchers.set(poll, known.add(socket))
    if (latest.has(poll)) socket.send(JSON.stringify(latest.get(poll)))
  }
  socket.on('error', () => {})
  socket.on('close', () => {
    for (const poll of polls) watchers.get(poll)?.delete(socket)
  })
})
server.on('listening', () => console.log(JSON.stringify({ msg: 'listening', ...(server.address() as object) })))

// "INDEX JSON": the news of the poll bench-INDEX
createInterface(process.stdin)
  .on('line', (line) => {
    const poll = `bench-${line[0]}`
    const tally: unknown = JSON.parse(line.slice(2))
    latest.set(poll, tally)
    for (const socket of watchers.get(poll) ?? []) {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(tally))
    }
  })
  .on('close', () => process.exit(0))
