/** What a proxy passes on of the headers it got (RFC 9110 §7.6.1): all but those that belong to the one connection. */
import type { IncomingHttpHeaders } from 'node:http'

const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

const NONE: ReadonlySet<string> = new Set()

/** By lower-case name, without those in `but`; `set-cookie`, which can be there several times, is left to the caller. */
export function passedHeaders(received: IncomingHttpHeaders, but: ReadonlySet<string> = NONE): Record<string, string> {
  const named = namedByConnection(received.connection)
  const passed: Record<string, string> = {}
  for (const name in received) {
    const value = received[name]
    if (typeof value === 'string' && !HOP_BY_HOP.has(name) && !but.has(name) && named?.has(name) !== true) passed[name] = value
  }
  return passed
}

/** Further headers of this connection alone, which its `Connection` header names. */
function namedByConnection(connection: string | undefined): ReadonlySet<string> | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return undefined
  return new Set(connection.split(',').map((name) => name.trim().toLowerCase()))
}
