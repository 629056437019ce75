/**
 * Reads a client's address and the origin under which it reached this server. What proxies say of it counts only as far as they are
 * trusted (docs/adr/0023).
 */
import type { IncomingHttpHeaders } from 'node:http'
import { BlockList, isIP } from 'node:net'
import { z } from 'zod'
import { readAddress, readForwarded, readOrigin, readXForwarded } from './forwarded.ts'

const NAMED_RANGES: ReadonlyMap<string, readonly string[]> = new Map([
  ['loopback', ['127.0.0.0/8', '::1/128']],
  ['private', ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7']],
])

/** One proxy on the way: its address, the CIDR range that it is in, or the name of well-known ranges. */
export const proxyItem: z.ZodType<string, string> = z.string().superRefine((item, context) => {
  const wrong = faultOf(item)
  if (wrong !== undefined) context.addIssue({ code: 'custom', message: `${wrong}: ${JSON.stringify(item)} is none` })
})

/** What an item would have to be; undefined when it is right. */
function faultOf(item: string): string | undefined {
  if (NAMED_RANGES.has(item)) return undefined
  const [address = '', bits, ...rest] = item.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0 || address.includes('%'))
    return 'must name each proxy on the way by an address, a CIDR range such as 10.0.0.0/8, "loopback" or "private"'
  const most = family === 4 ? 32 : 128
  if (bits !== undefined && !(/^\d{1,3}$/.test(bits) && Number(bits) <= most))
    return `must have 0 to ${most} after the slash of an IPv${family} range`
  // addresses are compared in dotted form
  if (family === 6 && readAddress(address)?.includes('.'))
    return 'must have IPv4 addresses and ranges in dotted form, such as 10.0.0.0/8'
  return undefined
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

/** One trusted proxy on the way. */
interface TrustedProxy {
  readonly includes: (address: string) => boolean
  /** The shortest prefix of its ranges. */
  readonly bits: number
}

/**
 * Creates the reader. Each item stands for one proxy on the way: a client in the range of a proxy is no second proxy, and is not
 * believed. For a sender that is no trusted proxy the reader takes the connection's address and the `Host` header.
 */
export function createPeerReader(trustedProxies: readonly string[]): PeerReader {
  // the narrowest range that includes a hop stands for it, so that a wider one is left for the next
  const proxies = trustedProxies.map(trustedProxy).toSorted((one, other) => other.bits - one.bits)

  /** The first address, from this server on, that no proxy stands for, or whose proxy says nothing of its client. */
  const clientOf = (direct: string, hops: readonly string[]): string => {
    const left = [...proxies]
    let address = direct
    for (let hop = hops.length - 1; hop >= 0; hop -= 1) {
      const proxy = left.findIndex(({ includes }) => includes(address))
      const next = readAddress(hops[hop] ?? '')
      if (proxy < 0 || next === undefined) break
      left.splice(proxy, 1)
      address = next
    }
    return address
  }

  return ({ headers, socket }) => {
    const direct = readAddress(socket.remoteAddress ?? '') ?? ''
    const host = headers.host ?? ''
    if (!proxies.some(({ includes }) => includes(direct))) return { address: direct, origin: originOf('http', [host]) }
    const usual = readXForwarded(headers)
    const standard = headers.forwarded === undefined ? undefined : readForwarded(headers.forwarded)
    const chains = [usual.hops, standard?.hops ?? []].filter((hops) => hops.some((hop) => hop !== ''))
    const [address = direct, ...others] = chains.map((hops) => clientOf(direct, hops))
    const scheme = usual.scheme ?? standard?.scheme ?? 'http'
    const origin = originOf(scheme, [usual.host, standard?.host, host])
    return {
      // a proxy that writes one of the two fields passes on what a client writes into the other: where they differ, neither is believed
      address: others.every((other) => other === address) ? address : direct,
      origin: isOnPort(headers.origin, origin, usual.port) ? headers.origin : origin,
    }
  }
}

/** Whether an address is that of a trusted proxy. */
export function createProxyCheck(trustedProxies: readonly string[]): (address: string) => boolean {
  const proxies = trustedProxies.map(trustedProxy)
  return (address) => proxies.some(({ includes }) => includes(address))
}

function trustedProxy(item: string): TrustedProxy {
  const ranges = new BlockList()
  let shortest = Infinity
  for (const range of NAMED_RANGES.get(item) ?? [item]) {
    const [address = '', bits] = range.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    const length = bits === undefined ? Infinity : Number(bits)
    if (bits === undefined) ranges.addAddress(address, family)
    else ranges.addSubnet(address, length, family)
    shortest = Math.min(shortest, length)
  }
  const includes = (address: string) => address !== '' && ranges.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')
  return { includes, bits: shortest }
}

/** The origin of the first that is a host. A request without one, which no browser sends, is taken for one to `localhost`. */
function originOf(scheme: string, hosts: readonly (string | undefined)[]): string {
  for (const host of hosts) {
    const origin = host === undefined ? undefined : readOrigin(scheme, host)
    if (origin !== undefined) return origin
  }
  return `${scheme}://localhost`
}

/**
 * Whether a page's origin is this server's, but for the port that a proxy names. Some proxies drop the port from the host and send it
 * apart; others send the port at which they listen behind an address translation. So it counts where the page has it as well.
 */
function isOnPort(page: string | undefined, origin: string, port: string | undefined): page is string {
  if (page === undefined || page === origin || port === undefined) return false
  const { protocol, host } = new URL(origin)
  return page === readOrigin(protocol.slice(0, -1), `${host}:${port}`)
}
