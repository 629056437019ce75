/** A TCP load balancer: round robin over the gateways whose `/ready` answers 200, asked several times a second. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export interface Balancer {
  readonly url: string
  /** Takes a gateway in, which is ready. */
  add(url: string): void
  /** Sends nothing new there; connections stay. */
  remove(url: string): void
  stop(): Promise<void>
}

const CHECK_EVERY_MS = 300
const CHECK_TIMEOUT_MS = 1_000

export async function startBalancer(): Promise<Balancer> {
  const ready = new Map<string, boolean>()
  const sockets = new Set<Socket>()
  let turn = 0

  const check = async (url: string) => {
    const signal = AbortSignal.timeout(CHECK_TIMEOUT_MS)
    const answer = await fetch(`${url}/ready`, { signal }).catch(() => undefined)
    await answer?.body?.cancel().catch(() => {})
    if (ready.has(url)) ready.set(url, answer?.status === 200)
  }
  const timer = setInterval(() => {
    for (const url of ready.keys()) void check(url)
  }, CHECK_EVERY_MS)

  /** The ready gateways, each once, beginning with the one whose turn it is. */
  const candidates = () => {
    const urls = [...ready].filter(([, isReady]) => isReady).map(([url]) => url)
    turn += 1
    return urls.map((_, index) => urls[(turn + index) % urls.length]!)
  }

  const server = createServer({ noDelay: true, pauseOnConnect: true, allowHalfOpen: true }, (near) => {
    sockets.add(near)
    near.on('close', () => sockets.delete(near))
    near.on('error', () => near.destroy())
    const urls = candidates()
    const tryNext = () => {
      if (near.destroyed) return
      const url = urls.shift()
      if (url === undefined) return void near.destroy()
      const far = connect({ port: Number(new URL(url).port), host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
      sockets.add(far)
      let isConnected = false
      far.on('connect', () => {
        if (near.destroyed) return void far.destroy()
        isConnected = true
        near.pipe(far)
        far.pipe(near)
        near.on('close', () => far.destroy())
      })
      far.on('error', () => {})
      far.on('close', () => {
        sockets.delete(far)
        if (isConnected) near.destroy()
        else tryNext()
      })
    }
    tryNext()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    add: (url) => void ready.set(url, true),
    remove: (url) => void ready.delete(url),
    async stop() {
      clearInterval(timer)
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
