/** In which slot of a Redis Cluster a key is. Keys with the same text in braces are in the same one. */

/** So many slots a cluster has. */
export const SLOTS = 16_384

/** Each byte's part in the checksum. */
const TABLE = Uint16Array.from({ length: 256 }, (_, byte) => {
  let sum = byte << 8
  for (let bit = 0; bit < 8; bit += 1) sum = (sum & 0x80_00) === 0 ? sum << 1 : (sum << 1) ^ 0x10_21
  return sum
})

/** CRC-16/XMODEM of the key, or of what is in its first braces unless that is empty. */
export function slotOf(key: string): number {
  const tag = /^[^{]*\{([^}]+)\}/su.exec(key)?.[1] ?? key
  let sum = 0
  for (const byte of Buffer.from(tag)) sum = ((sum << 8) & 0xff_ff) ^ (TABLE[((sum >> 8) ^ byte) & 0xff] ?? 0)
  return sum % SLOTS
}
