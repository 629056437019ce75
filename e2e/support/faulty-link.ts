import { connect, createServer, type Socket } from 'node:net'
import type { AddressInfo } from 'node:net'
import { once } from 'node:events'

/** A TCP link between a client and a server of the test, which loses what the test says. */
export interface FaultyLink {
  readonly port: number
  /** The next reply, whatever comes next from the server on any connection, is lost; the connection lives on. */
  loseReply(): void
  /** Passes nothing on, in either direction, and keeps the connections open. What was sent meanwhile is lost. */
  blackHole(): void
  /** Passes on again what is sent from now on. */
  restore(): void
  /** Cuts every connection. */
  cut(): void
  [Symbol.asyncDispose](): Promise<void>
}

/** Opens a link to a port of this machine. */
export async function openFaultyLink(targetPort: number): Promise<FaultyLink> {
  const sockets = new Set<Socket>()
  let black = false
  let toLose = 0
  const server = createServer((near) => {
    const far = connect(targetPort, '127.0.0.1')
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket)
      socket.on('error', () => {})
      socket.on('close', () => {
        sockets.delete(socket)
        other.destroy()
      })
    }
    near.on('data', (data) => void (black || far.write(data)))
    far.on('data', (data) => {
      if (black) return
      if (toLose > 0) toLose -= 1
      else near.write(data)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    loseReply: () => (toLose += 1),
    blackHole: () => (black = true),
    restore: () => (black = false),
    cut,
    [Symbol.asyncDispose]: async () => {
      server.close()
      cut()
      await once(server, 'close')
    },
  }
}
