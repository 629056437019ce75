/** The part of an address that tells clients apart. */

const IPV6_GROUPS = 8
/** A client of IPv6 has a whole /64 and picks addresses in it at will (RFC 7421). */
const NETWORK_GROUPS = 4

/** An IPv4 address as it is, the /64 network of an IPv6 address such as `2001:db8:0:1`. The address is in the form of RFC 5952. */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address
  const [left = [], right = []] = address.split('::').map((part) => part.split(':').filter((group) => group !== ''))
  const zeros = Array.from({ length: Math.max(0, IPV6_GROUPS - left.length - right.length) }, () => '0')
  return [...left, ...zeros, ...right].slice(0, NETWORK_GROUPS).join(':')
}
