/**
 * HTTP over the virtual network, a connection for each request: the servers of both services, and undici's pool.
 *
 * The functions and classes of this module take the places of those of the same names in the product (`replaced.ts`).
 */
import { EventEmitter } from 'node:events'
import type { IncomingMessage } from 'node:http'
import type { Listener, ListenerOptions } from '../../gateway/handshake/listener.ts'
import { type ConnectionLost, type End } from './network.ts'
import { here } from './scheduler.ts'
import { type Handshake, ServerSocket } from './sockets.ts'
import { world } from './surroundings.ts'

interface Request {
  readonly kind: 'request'
  readonly method: string
  readonly target: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}
/** Answers a request; `isAwaited` says whether its sender is still there. */
export type Handle = (request: Request, isAwaited: () => boolean) => Promise<Answer>

/** In place of a server of @hono/node-server: the part that the drain and the listener use. */
export class VirtualServer extends EventEmitter {
  readonly fetch: Handle
  constructor(fetch: Handle) {
    super()
    this.fetch = fetch
  }
  close(): void {
    world.network.unlisten(here().name)
  }
  closeIdleConnections(): void {}
  /** Answers what comes over a connection. */
  serve(end: End, request: Request): void {
    const response = Object.assign(new EventEmitter(), { shouldKeepAlive: true })
    this.emit('request', request, response)
    let isAwaited = true
    end.onClose = () => {
      isAwaited = false
      response.emit('close')
    }
    void this.fetch(request, () => isAwaited).then((answer) => {
      end.send(answer)
      end.close()
      response.emit('close')
      return undefined
    })
  }
}

export function createAdaptorServer({ fetch }: { fetch: Handle }): VirtualServer {
  return new VirtualServer(fetch)
}

/** Of the same module as `listen`. */
export const [DEFAULT_HOSTNAME, SERVER_OPTIONS] = ['localhost', {}]

/** In place of `listen` of shared/lifecycle/http-server.ts. A server that is none of ours is that of the metrics. */
export async function listen(server: unknown, { port }: { port: number }): Promise<number> {
  if (!(server instanceof VirtualServer)) return port
  world.network.listen(here().name, (end) => {
    end.onData = (request) => server.serve(end, request as Request)
  })
  return port
}

/** In place of the gateway's listener. */
export function createListener({ server, upgrade }: ListenerOptions): Listener {
  const virtual = server as unknown as VirtualServer // `createAdaptorServer` above made it
  return {
    async listen({ port }) {
      world.network.listen(here().name, (end) => {
        end.onData = (first) => {
          const message = first as Handshake | Request
          if (message.kind === 'request') return virtual.serve(end, message)
          const socket = new ServerSocket(end)
          const { headers, target: url } = message
          const request = { headers, url, method: 'GET', httpVersion: '1.1', rawHeaders: [], socket }
          // a stand-in has what the handshake reads
          upgrade(request as unknown as IncomingMessage, socket as never, Buffer.alloc(0))
        }
      })
      return port
    },
    tick() {},
    close: () => world.network.unlisten(here().name),
  }
}

const CONNECT_MS = 2_000
const coded = (code: string) => Object.assign(new Error(code), { code })

/** Sends a request and resolves to its answer. Rejects with an error that has a code, as undici's have. */
export async function exchange(host: string, request: Omit<Request, 'kind'>, signal?: AbortSignal): Promise<Answer> {
  const end = world.network.connect(host)
  const answer = Promise.withResolvers<Answer>()
  const connecting = setTimeout(() => answer.reject(coded('UND_ERR_CONNECT_TIMEOUT')), CONNECT_MS)
  end.onOpen = () => {
    clearTimeout(connecting)
    end.send({ kind: 'request', ...request } satisfies Request)
  }
  end.onData = (data) => answer.resolve(data as Answer)
  end.onClose = (error?: ConnectionLost) => answer.reject(error ?? coded('UND_ERR_SOCKET'))
  const abort = () => answer.reject(signal?.reason)
  signal?.addEventListener('abort', abort, { once: true })
  try {
    return await answer.promise
  } finally {
    clearTimeout(connecting)
    signal?.removeEventListener('abort', abort)
    end.reset()
  }
}

/** In place of undici's pool. */
export class Pool {
  readonly #host: string
  constructor(origin: string) {
    this.#host = new URL(origin).hostname
  }
  async request(options: {
    readonly path: string
    readonly method: string
    readonly headers: Readonly<Record<string, string>>
    readonly body?: Uint8Array
    readonly signal: AbortSignal
  }) {
    const { path: target, method, headers, signal } = options
    const body = Buffer.from(options.body ?? []).toString()
    const answer = await exchange(this.#host, { target, method, headers, body }, signal)
    return {
      statusCode: answer.status,
      headers: { ...answer.headers, 'content-length': String(Buffer.byteLength(answer.body)) },
      body: { text: async () => answer.body, bytes: async () => Buffer.from(answer.body), dump: async () => {} },
    }
  }
}
