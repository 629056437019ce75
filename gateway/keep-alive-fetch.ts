/** A fetch for the few backends behind this edge, on connections that stay open: a third of the CPU of the built-in one. */
import { Agent, request as httpRequest, type IncomingMessage } from 'node:http'
import { request as httpsRequest, Agent as TlsAgent } from 'node:https'
import { Readable } from 'node:stream'

export interface KeepAliveFetch {
  /** Rejects with the system's error, or with the signal's reason. */
  send(
    target: URL,
    init: { readonly method: string; readonly headers: Headers; readonly body: Uint8Array; readonly signal: AbortSignal },
  ): Promise<Response>
}

/** Connections to one backend at most; more requests wait for one. */
const MAX_CONNECTIONS = 128
/** Below the time after which a backend closes an idle connection, so that it is never closed while it is being used again. */
const IDLE_MS = 30_000
/** Longer answers, such as exports, and those of unknown length are passed on as they come. */
const MAX_COLLECTED_BYTES = 262_144

export function createKeepAliveFetch(): KeepAliveFetch {
  const settings = { keepAlive: true, maxSockets: MAX_CONNECTIONS, timeout: IDLE_MS }
  const agents = { 'http:': new Agent(settings), 'https:': new TlsAgent(settings) }
  return {
    send: (target, { method, headers, body, signal }) =>
      new Promise((resolve, reject) => {
        const isTls = target.protocol === 'https:'
        const options = { method, headers: Object.fromEntries(headers), signal }
        const fail = (error: Error) => reject(signal.aborted && signal.reason instanceof Error ? signal.reason : error)
        const answered = (message: IncomingMessage) => {
          message.once('error', fail)
          answerOf(message).then(resolve, fail)
        }
        const request = isTls
          ? httpsRequest(target, { ...options, agent: agents['https:'] }, answered)
          : httpRequest(target, { ...options, agent: agents['http:'] }, answered)
        request.once('error', fail)
        request.end(body)
      }),
  }
}

async function answerOf(message: IncomingMessage): Promise<Response> {
  const headers = new Headers()
  const { rawHeaders, statusCode = 502 } = message
  for (let index = 0; index + 1 < rawHeaders.length; index += 2)
    headers.append(rawHeaders[index] ?? '', rawHeaders[index + 1] ?? '')
  const length = Number(message.headers['content-length'] ?? Number.NaN)
  if (length <= MAX_COLLECTED_BYTES) {
    const chunks: Buffer[] = []
    for await (const chunk of message) chunks.push(chunk as Buffer)
    const body = chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)
    return new Response(isBodyless(statusCode) ? null : new Uint8Array(body), { status: statusCode, headers })
  }
  if (isBodyless(statusCode)) {
    message.resume()
    return new Response(null, { status: statusCode, headers })
  }
  // Node's web streams and those of the Response type are the same at run time
  return new Response(Readable.toWeb(message) as ReadableStream, { status: statusCode, headers })
}

/** Statuses whose responses have no content (RFC 9110 §6.4.1). */
function isBodyless(status: number): boolean {
  return status === 204 || status === 205 || status === 304
}
