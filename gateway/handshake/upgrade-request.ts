/** The head of a plain request to open a WebSocket, read without an HTTP parser. */

export interface UpgradeRequest {
  /** The request target (RFC 9112 §3.2), such as `/ws?poll=tea`. */
  readonly target: string
  /** By name in lower case. */
  readonly headers: Readonly<Record<string, string>>
  /** The bytes after the head. */
  readonly rest: Buffer
}

/** The same limit as `maxHeaderSize` of the HTTP server. */
const MAX_BYTES = 8_192
const REQUEST_LINE = /^GET (\/ws(?:\?[\x21-\x7e]*)?) HTTP\/1\.1$/
/** RFC 9110 §5.1 and §5.5, in ASCII: a token, a colon, and a value of visible characters, spaces and tabs. */
const FIELD_LINE = /^[\w!#$%&'*+.^`|~-]+:[\t\x20-\x7e]*$/
const UPGRADE_TOKEN = /(?:^|,)[\t ]*upgrade[\t ]*(?:,|$)/i
/** Fields that would give the request a body, or ask for an answer before it. */
const BODY_FIELDS = new Set(['content-length', 'transfer-encoding', 'expect'])

/**
 * Reads the first bytes of a connection. Returns undefined unless they are, beyond any doubt, one whole HTTP/1.1 request to
 * upgrade `/ws` to a WebSocket (RFC 6455 §4.1). Node's parser judges every request that is unusual (such as one with a field
 * given twice), incomplete or wrong. So this function refuses nothing, and reads no request differently from a proxy in front.
 */
export function readUpgradeRequest(bytes: Buffer): UpgradeRequest | undefined {
  if (bytes.length > MAX_BYTES) return undefined
  const end = bytes.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const [requestLine = '', ...lines] = bytes.toString('latin1', 0, end).split('\r\n')
  const target = REQUEST_LINE.exec(requestLine)?.[1]
  if (target === undefined) return undefined
  const headers: Record<string, string> = {}
  for (const line of lines) {
    if (!FIELD_LINE.test(line)) return undefined
    const colon = line.indexOf(':')
    const name = line.slice(0, colon).toLowerCase()
    if (name in headers || BODY_FIELDS.has(name)) return undefined
    headers[name] = line.slice(colon + 1).trim()
  }
  const { host, upgrade, connection } = headers
  if (host === undefined || upgrade?.toLowerCase() !== 'websocket' || !UPGRADE_TOKEN.test(connection ?? '')) return undefined
  return { target, headers, rest: bytes.subarray(end + 4) }
}
