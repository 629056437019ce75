import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'

/** One address for whichever server is the primary, as a name or a proxy gives it. */
export interface MovingAddress {
  readonly port: number
  /** New connections lead to this port of this machine from now on; those that are open stay where they lead. */
  move(port: number): void
  [Symbol.asyncDispose](): Promise<void>
}

/** `delayMs`: how long everything is on its way, in either direction; what is on its way when a connection ends is lost. */
export async function openMovingAddress(target: number, { delayMs = 0 } = {}): Promise<MovingAddress> {
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1')
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
      if (delayMs === 0) socket.pipe(other)
      else socket.on('data', (data) => void setTimeout(() => other.writable && other.write(data), delayMs))
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    move: (port) => (target = port),
    [Symbol.asyncDispose]: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
      await once(server, 'close')
    },
  }
}
