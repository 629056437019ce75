/** Requests to the few backends behind this edge, on connections that stay open: a fraction of the CPU of the built-in fetch. */
import { Agent, request as httpRequest, type ClientRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as httpsRequest, Agent as TlsAgent } from 'node:https'
import { Readable } from 'node:stream'
import { urlToHttpOptions } from 'node:url'
import type { ApiRequest } from './api.ts'
import { passedHeaders } from './passed-headers.ts'
import { readBody } from './read-body.ts'

export interface KeepAliveClient {
  /** Rejects with the system's error, or with a TimeoutError when the backend says nothing for so many ms. */
  send(backend: URL, request: ApiRequest, timeoutMs: number): Promise<Response>
}

/** Connections to one backend at most; more requests wait for one. */
const MAX_CONNECTIONS = 1_024
/** Below the time after which a backend closes an idle connection, so that it is never closed while it is being used again. */
const IDLE_MS = 30_000
/** Longer answers, such as exports, and those of unknown length are passed on as they come. */
const MAX_COLLECTED_BYTES = 262_144

export function createKeepAliveClient(): KeepAliveClient {
  const settings = { keepAlive: true, maxSockets: MAX_CONNECTIONS, maxFreeSockets: MAX_CONNECTIONS, timeout: IDLE_MS }
  const [agent, tlsAgent] = [new Agent(settings), new TlsAgent(settings)]
  return {
    send: (backend, { method, target, headers, body }, timeoutMs) =>
      new Promise((resolve, reject) => {
        const options: RequestOptions = { ...urlToHttpOptions(backend), path: target, method, headers, timeout: timeoutMs }
        const answered = (message: IncomingMessage) => void answerOf(message).then(resolve, reject)
        const request: ClientRequest =
          backend.protocol === 'https:'
            ? httpsRequest({ ...options, agent: tlsAgent }, answered)
            : httpRequest({ ...options, agent }, answered)
        request.once('error', reject)
        request.once('timeout', () => request.destroy(new DOMException('no answer in time', 'TimeoutError')))
        request.end(body)
      }),
  }
}

async function answerOf(message: IncomingMessage): Promise<Response> {
  const { statusCode: status = 502 } = message
  const headers = headersOf(message)
  const length = Number(message.headers['content-length'] ?? Number.NaN)
  if (isBodyless(status)) {
    message.resume()
    return new Response(null, { status, headers })
  }
  if (length <= MAX_COLLECTED_BYTES) return new Response(await readBody(message, MAX_COLLECTED_BYTES), { status, headers })
  // Node's web streams and those of the Response type are the same at run time
  return new Response(Readable.toWeb(message) as ReadableStream, { status, headers })
}

/** A record where one is enough: the server writes it out without ever making it a Headers object. */
function headersOf({ headers: received }: IncomingMessage): Record<string, string> | [string, string][] {
  const headers = passedHeaders(received)
  const cookies = received['set-cookie'] ?? []
  if (cookies.length > 1)
    return [...Object.entries(headers), ...cookies.map((cookie): [string, string] => ['set-cookie', cookie])]
  if (cookies[0] !== undefined) headers['set-cookie'] = cookies[0]
  return headers
}

/** Statuses whose responses have no content (RFC 9110 §6.4.1). */
function isBodyless(status: number): boolean {
  return status === 204 || status === 205 || status === 304
}
