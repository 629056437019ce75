/** A server of the wire whose every word a check decides, for clients to be examined at. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type WebSocket, WebSocketServer } from 'ws'
import { soon } from './check.ts'

/** A handshake that a client has made. */
export interface Visit {
  readonly socket: WebSocket
  /** When it came, in ms by `performance.now()`. */
  readonly at: number
  readonly polls: readonly string[]
  readonly subprotocol: string
  /** The close code, once the socket is closed; 1006 where the client left without one. */
  readonly closed: Promise<number>
  readonly isClosed: boolean
  /** How many data frames the client sent. */
  readonly said: number
  /** How many pongs the client sent. */
  readonly pongs: number
  send(frame: object): void
}

export interface MockServer {
  /** With the path of the wire, as in ws://127.0.0.1:1234/ws. */
  readonly url: string
  readonly visits: readonly Visit[]
  /** Resolves to visit number `index`, counted from 0, once it is there. */
  visit(index: number, ms: number): Promise<Visit>
  close(): Promise<void>
}

const SUBPROTOCOLS = ['livetally.v1.1', 'livetally.v1']

/** Starts a server that hands every new socket to `onVisit`. */
export async function startMockServer(onVisit: (visit: Visit, index: number) => void): Promise<MockServer> {
  const server = createServer((_, response) => response.writeHead(404).end())
  const wire = new WebSocketServer({
    server,
    path: '/ws',
    perMessageDeflate: false,
    handleProtocols: (offered) => SUBPROTOCOLS.find((name) => offered.has(name)) ?? false,
  })
  const visits: Visit[] = []
  const looks = new Set<() => void>()
  wire.on('connection', (socket, request) => {
    let code: number | undefined
    let said = 0
    let pongs = 0
    const closed = new Promise<number>((resolve) => {
      socket.on('close', (received) => resolve((code = received)))
    })
    socket.on('error', () => {})
    socket.on('message', () => (said += 1))
    socket.on('pong', () => (pongs += 1))
    const visit: Visit = {
      socket,
      at: performance.now(),
      polls: new URL(request.url ?? '', 'http://mock').searchParams.getAll('poll'),
      subprotocol: socket.protocol,
      closed,
      get isClosed() {
        return code !== undefined
      },
      get said() {
        return said
      },
      get pongs() {
        return pongs
      },
      send: (frame) => socket.send(JSON.stringify(frame)),
    }
    onVisit(visit, visits.push(visit) - 1)
    for (const look of looks) look()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // the address of a server that listens on a port
  const { port } = server.address() as AddressInfo

  return {
    url: `ws://127.0.0.1:${port}/ws`,
    visits,
    visit(index, ms) {
      const arrival = new Promise<Visit>((resolve) => {
        const look = () => {
          const visit = visits[index]
          if (visit === undefined) return
          looks.delete(look)
          resolve(visit)
        }
        looks.add(look)
        look()
      })
      return soon(
        arrival,
        ms,
        index === 0 ? 'the client has not connected' : `the client has not connected for time ${index + 1}`,
      )
    },
    async close() {
      for (const { socket } of visits) socket.terminate()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const AT = '2026-01-01T00:00:00.000Z'

/** The definition of a poll with two options. */
export function pollFrame(poll: string) {
  const options = [
    { id: 'yes', label: 'Yes' },
    { id: 'no', label: 'No' },
  ]
  return {
    type: 'poll',
    poll,
    question: 'Does this client keep the wire?',
    options,
    state: 'open',
    resultsVisible: true,
    opensAt: null,
    closesAt: null,
    epoch: 1,
    version: 1,
  }
}

/** A tally in which `version` people voted yes. */
export function tallyFrame(poll: string, version: number, { epoch = 1, hidden = false } = {}) {
  const counts = hidden ? {} : { counts: { yes: version, no: 0 } }
  return { type: 'tally', poll, epoch, version, ...counts, total: version, at: AT }
}
