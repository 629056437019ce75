/** A TCP relay that may hold back what passes through it, as a network does that loses its route. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export interface Relay {
  readonly port: number
  /** From now on nothing comes back from the target; connections stay open, requests still arrive. */
  hold(): void
  /** Delivers what was held back, in order, and all that follows. */
  resume(): void
  /** Loses what was held back and resets every connection; new ones work. */
  cut(): void
  stop(): Promise<void>
}

/** Opens a relay to a port of this machine. A connection that finds nobody there is reset. */
export async function openRelay(targetPort: number): Promise<Relay> {
  const pairs = new Map<Socket, Socket>()
  let holding = false

  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port: targetPort, host: '127.0.0.1', noDelay: true })
    pairs.set(near, far)
    near.on('data', (data) => void (far.write(data) || near.pause()))
    far.on('drain', () => near.resume())
    far.on('data', (data) => void (near.write(data) || far.pause()))
    near.on('drain', () => void (holding || far.resume()))
    if (holding) far.pause()
    near.on('end', () => far.end())
    far.on('end', () => near.end())
    near.on('error', () => far.destroy())
    far.on('error', () => reset(near))
    near.on('close', () => {
      pairs.delete(near)
      far.destroy()
    })
    far.on('close', () => near.destroySoon())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  const resume = () => {
    holding = false
    for (const far of pairs.values()) far.resume()
  }
  const cut = () => {
    holding = false
    for (const [near, far] of pairs) {
      reset(near)
      far.destroy()
    }
  }
  return {
    port: (server.address() as AddressInfo).port,
    hold() {
      holding = true
      for (const far of pairs.values()) far.pause()
    },
    resume,
    cut,
    async stop() {
      const closed = once(server, 'close')
      server.close()
      cut()
      await closed
    },
  }
}

/** Where an end was begun the socket is only destroyed, since Node spun at its exit when one was reset on top of that. */
function reset(socket: Socket): void {
  if (socket.writableEnded) socket.destroy()
  else socket.resetAndDestroy()
}
