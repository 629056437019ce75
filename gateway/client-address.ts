/** Who is at the other end, and what they think we are called: a proxy's word counts only when the proxy is trusted. */
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
  /** The origin under which it reached us, such as `https://vote.example.org`. */
  readonly origin: string
}

export interface PeerRequest {
  readonly remoteAddress: string
  header(name: string): string | undefined
}

/** Reads `X-Forwarded-For`, `-Proto` and `-Host`, but only from a trusted proxy; otherwise the connection itself is the truth. */
export function createPeerReader(trustedProxies: readonly string[]): (request: PeerRequest) => Peer {
  const trusted = new BlockList()
  for (const range of trustedProxies.flatMap((item) => NAMED_RANGES[item] ?? [item])) {
    const [address = '', bits] = range.split('/')
    const family = isIP(address) === 6 ? 'ipv6' : 'ipv4'
    if (bits === undefined) trusted.addAddress(address, family)
    else trusted.addSubnet(address, Number(bits), family)
  }
  const isTrusted = (address: string) =>
    trustedProxies.length > 0 && isIP(address) !== 0 && trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4')

  return ({ remoteAddress, header }) => {
    const direct = plainAddress(remoteAddress)
    const host = header('host') ?? 'localhost'
    if (!isTrusted(direct)) return { address: direct, origin: `http://${host}` }
    const hops = (header('x-forwarded-for') ?? '')
      .split(',')
      .map((hop) => plainAddress(hop.trim()))
      .filter((hop) => hop !== '')
    // the right-most hop that is no proxy of ours is the client: anything left of it, the client may have made up
    const address = hops.findLast((hop) => !isTrusted(hop)) ?? hops[0] ?? direct
    const scheme = header('x-forwarded-proto') === 'https' ? 'https' : 'http'
    return { address, origin: `${scheme}://${header('x-forwarded-host') ?? host}` }
  }
}

/** IPv4 addresses arrive as `::ffff:192.0.2.1` on a dual-stack socket (RFC 4291 §2.5.5.2). */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/i, '')
}
