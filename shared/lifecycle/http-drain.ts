/** Closes an HTTP server without failing a request, which Node's own `close` does not guarantee. */
import type { Server, ServerResponse } from 'node:http'

export interface HttpDrain {
  /**
   * From now on every response says `Connection: close` (RFC 9112 §9.6), those in flight included, so that clients and balancers
   * stop reusing connections while they are still served. Node's own `server.close()` leaves replies in flight on keep-alive.
   */
  announce(): void
  /** Stops listening and closes idle connections; resolves when no request is in flight. Never rejects. */
  finish(signal: AbortSignal): Promise<void>
}

/** Creates the drain. To be called before the server listens. */
export function createHttpDrain(server: Server): HttpDrain {
  const responses = new Set<ServerResponse>()
  let isClosing = false
  let idle: (() => void) | undefined

  server.prependListener('request', (_request, response: ServerResponse) => {
    if (isClosing) response.shouldKeepAlive = false
    responses.add(response)
    response.once('close', () => {
      responses.delete(response)
      if (responses.size === 0) idle?.()
    })
  })

  return {
    announce() {
      isClosing = true
      for (const response of responses) response.shouldKeepAlive = false
    },
    async finish(signal) {
      // the callback of close() is not awaited, since it would also wait for WebSockets, which another stage drains
      server.close()
      server.closeIdleConnections()
      if (responses.size === 0 || signal.aborted) return
      await new Promise<void>((resolve) => {
        idle = resolve
        signal.addEventListener('abort', () => resolve(), { once: true })
      })
    },
  }
}
