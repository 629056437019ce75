/** The headers a proxy passes on (RFC 9110 §7.6.1): all but those that belong to one connection. */

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

/**
 * The end-to-end headers among those received, by lower-case name, without those in `but`. `set-cookie`, of which there may be
 * several, is left to the caller.
 */
export function endToEndHeaders(
  received: Readonly<Record<string, string | readonly string[] | undefined>>,
  but: ReadonlySet<string> = NONE,
): Record<string, string> {
  const named = namedByConnection(received['connection'])
  const endToEnd: Record<string, string> = {}
  for (const name in received) {
    const field = received[name]
    if (field === undefined || name === 'set-cookie') continue
    // a field given several times is one list (RFC 9110 §5.3)
    const value = typeof field === 'string' ? field : field.join(', ')
    if (!HOP_BY_HOP.has(name) && !but.has(name) && named?.has(name) !== true) endToEnd[name] = value
  }
  return endToEnd
}

/** Further headers of this connection alone, which its `Connection` header names. */
function namedByConnection(connection: string | readonly string[] | undefined): ReadonlySet<string> | undefined {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return undefined
  return new Set(
    String(connection)
      .split(',')
      .map((name) => name.trim().toLowerCase()),
  )
}
