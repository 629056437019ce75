/**
 * Reads a client's address and the origin under which it reached this server. Forwarding headers count only from a trusted proxy.
 */
import type { IncomingHttpHeaders } from 'node:http'
import { BlockList, isIP } from 'node:net'
import { z } from 'zod'

const NAMED_RANGES: Readonly<Record<string, readonly string[]>> = {
  loopback: ['127.0.0.0/8', '::1/128'],
  private: ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
}

/** An address, a CIDR range, or the name of well-known ranges. */
export const proxyItem: z.ZodType<string, string> = z.string().refine(isRange, {
  message: 'must hold addresses, CIDR ranges, "loopback" or "private"',
})

function isRange(item: string): boolean {
  if (item in NAMED_RANGES) return true
  const [address = '', bits, ...rest] = item.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

export interface Peer {
  /** The client's address. */
  readonly address: string
  /** The origin under which the client reached this server, such as `https://vote.example.org`. */
  readonly origin: string
}

/** The part of a request that says who sent it. */
export interface PeerRequest {
  readonly headers: IncomingHttpHeaders
  readonly socket: { readonly remoteAddress?: string | undefined }
}

export type PeerReader = (request: PeerRequest) => Peer

/**
 * Creates the reader. It believes `X-Forwarded-For`, `-Proto` and `-Host` from a trusted proxy only; for any other sender it
 * takes the connection's address and the `Host` header.
 */
export function createPeerReader(trustedProxies: readonly string[]): PeerReader {
  const trusted = new BlockList()
  for (const range of trustedProxies.flatMap((item) => NAMED_RANGES[item] ?? [item])) {
    const [address = '', bits] = range.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) trusted.addAddress(address, family)
    else trusted.addSubnet(address, Number(bits), family)
  }
  const isTrusted = (address: string) =>
    trustedProxies.length > 0 && isIP(address) !== 0 && trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')

  return ({ headers, socket }) => {
    const direct = plainAddress(socket.remoteAddress ?? '')
    const host = headers.host ?? 'localhost'
    if (!isTrusted(direct)) return { address: direct, origin: `http://${host}` }
    const hops = valueOf(headers['x-forwarded-for'])
      .split(',')
      .map((hop) => plainAddress(hop.trim()))
      .filter((hop) => hop !== '')
    // the client is the right-most hop that is no trusted proxy: it may have made up every hop to the left of its own
    const address = hops.findLast((hop) => !isTrusted(hop)) ?? hops[0] ?? direct
    const scheme = valueOf(headers['x-forwarded-proto']) === 'https' ? 'https' : 'http'
    return { address, origin: `${scheme}://${valueOf(headers['x-forwarded-host']) || host}` }
  }
}

/** Joins a field that was sent several times into one list (RFC 9110 §5.3). */
function valueOf(field: string | string[] | undefined): string {
  return typeof field === 'object' ? field.join(', ') : (field ?? '')
}

/** Strips the prefix with which a dual-stack socket reports IPv4 addresses: `::ffff:192.0.2.1` (RFC 4291 §2.5.5.2). */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '')
}
