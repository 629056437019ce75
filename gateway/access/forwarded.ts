/** Reads what proxies write down of the client they forward: `X-Forwarded-*` and `Forwarded` (RFC 7239). Pure, and judges nobody. */
import type { IncomingHttpHeaders } from 'node:http'
import { isIPv4, isIPv6, SocketAddress } from 'node:net'

export interface Forwarded {
  /** For whom each proxy forwarded, the client's end first, as written; {@link readAddress} reads one. */
  readonly hops: readonly string[]
  /** The scheme that the client used. */
  readonly scheme: 'http' | 'https' | undefined
  /** The host that the client asked for, perhaps with a port, as written; {@link readOrigin} reads it. */
  readonly host: string | undefined
  /** The port that the client asked for, as written. */
  readonly port: string | undefined
}

/** Reads `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`. Of a list it takes what stands first: the word of the proxy next to the client. */
export function readXForwarded(headers: IncomingHttpHeaders): Forwarded {
  return {
    hops: listOf(headers['x-forwarded-for']),
    scheme: readScheme(listOf(headers['x-forwarded-proto'])[0]),
    host: listOf(headers['x-forwarded-host'])[0],
    port: listOf(headers['x-forwarded-port'])[0],
  }
}

/** A parameter of an element of `Forwarded`, or the comma between two elements. It takes words without a value too, and so in linear time. */
const FORWARDED_PART = /([\w!#$%&'*+.^`|~-]+)(?:=(?:"((?:[^"\\]|\\.)*)"|([^\s",;]*)))?|,/gs

/** Reads a `Forwarded` field. What is no parameter is skipped; an element without `for` is a hop without an address. */
export function readForwarded(field: string): Forwarded {
  const elements: Map<string, string>[] = [new Map()]
  for (const [, name, quoted, token] of field.matchAll(FORWARDED_PART)) {
    const value = quoted?.replaceAll(/\\(.)/gs, '$1') ?? token
    if (name === undefined) elements.push(new Map())
    else if (value !== undefined) elements.at(-1)?.set(name.toLowerCase(), value)
  }
  const said = elements.filter(({ size }) => size > 0)
  const first = (name: string) => said.find((element) => element.has(name))?.get(name)
  return {
    hops: said.map((element) => element.get('for') ?? ''),
    scheme: readScheme(first('proto')),
    host: first('host'),
    port: undefined,
  }
}

/** An IPv4 address with a port, or an IPv6 address in brackets, perhaps with a port. */
const WITH_PORT = /^(?:([\d.]+):\d+|\[([^\]]+)\](?::\d+)?)$/
/** The prefix with which dual-stack sockets report IPv4 addresses (RFC 4291 §2.5.5.2). */
const IPV4_MAPPED = /^::ffff:(?=\d+\.)/

/**
 * Reads the address in a hop, without its port and its zone, in the one form that every address has (RFC 5952); IPv4 addresses are in
 * dotted form. Undefined when there is none, as in `unknown` and in a hidden name such as `_proxy1`.
 */
export function readAddress(hop: string): string | undefined {
  // most are as they should be already, and the rest of this takes several times as long
  const plain = hop.replace(IPV4_MAPPED, '')
  if (isIPv4(plain)) return plain
  const [, ipv4, ipv6] = WITH_PORT.exec(hop) ?? []
  const address = ipv4 ?? ipv6 ?? hop
  if (isIPv4(address)) return address
  return isIPv6(address) ? new SocketAddress({ address, family: 'ipv6' }).address.replace(IPV4_MAPPED, '') : undefined
}

/** The characters that separate a host from the other parts of a URL; none is in a host. */
const NO_HOST = /[\s/?#@\\]/

/** The origin of a host as browsers write it (RFC 6454 §6.2), without the port that the scheme implies; undefined when it is no host. */
export function readOrigin(scheme: string, host: string): string | undefined {
  return NO_HOST.test(host) ? undefined : URL.parse(`${scheme}://${host}`)?.origin
}

/** `ws` and `wss` are what Traefik says of a handshake; a browser's `Origin` has the schemes of the page. */
const SCHEMES: ReadonlyMap<string, Forwarded['scheme']> = new Map([
  ['https', 'https'],
  ['wss', 'https'],
  ['http', 'http'],
  ['ws', 'http'],
])

function readScheme(said: string | undefined): Forwarded['scheme'] {
  return SCHEMES.get(said?.toLowerCase() ?? '')
}

/** The members of a list that may be spread over several fields (RFC 9110 §5.6.1); empty ones do not count. */
function listOf(field: string | string[] | undefined): string[] {
  if (field === undefined || field === '') return []
  if (typeof field === 'string' && !field.includes(',')) return [field.trim()]
  return String(field)
    .split(',')
    .map((member) => member.trim())
    .filter((member) => member !== '')
}
