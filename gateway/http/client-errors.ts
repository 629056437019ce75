/** Answers what the HTTP parser refuses with a problem, as everything else is, where Node would send a bare status. */
import { type Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { problem, PROBLEM_CONTENT_TYPE } from '../../shared/protocol/problem.ts'

type Refusal = readonly [status: number, kind: string, detail: string]

const BY_CODE: ReadonlyMap<string | undefined, Refusal> = new Map([
  ['HPE_HEADER_OVERFLOW', [431, 'too-large', 'The headers of a request may have 8192 bytes at most.']],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', [413, 'too-large', 'The extensions of a chunk are too long: send none.']],
  [
    'ERR_HTTP_REQUEST_TIMEOUT',
    [408, 'timeout', 'The request did not come to its end in time: send its headers within 5 s, all of it within 10.'],
  ],
])
const ANY: Refusal = [400, 'bad-request', 'This is no HTTP request that can be understood (RFC 9112).']

/** How long the answer may take to leave, in ms, before the connection is cut. */
const LINGER_MS = 1_000

/** To be called before the server listens. */
export function answerClientErrors(server: Server): void {
  /** The latest response of each connection. */
  const latest = new WeakMap<Duplex, ServerResponse>()
  const answered = new WeakSet<Duplex>()
  server.prependListener('request', ({ socket }, response) => void latest.set(socket, response))
  server.on('clientError', (error: NodeJS.ErrnoException, connection) => {
    // what else comes on the connection is wrong as well
    if (answered.has(connection)) return
    answered.add(connection)
    if (!connection.writable || error.code === 'ECONNRESET' || isOwed(latest.get(connection))) {
      connection.destroy()
      return
    }
    const [status, kind, detail] = BY_CODE.get(error.code) ?? ANY
    const body = JSON.stringify(problem(status, kind, detail))
    connection.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\ncache-control: no-store\r\n` +
        `content-type: ${PROBLEM_CONTENT_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
    // unread bytes would make the system reset the connection, and the client lose the answer
    setTimeout(() => connection.destroy(), LINGER_MS).unref()
  })
}

/** Whether a whole request still waits for this response, or has a part of it: a refusal of what came after would be taken for it. */
function isOwed(response: ServerResponse | undefined): boolean {
  return response !== undefined && !response.writableFinished && (response.req.complete || response.headersSent)
}
