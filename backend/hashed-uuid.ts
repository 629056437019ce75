/** Voter ids for voters who have another name already. */
import { createHash } from 'node:crypto'

/** A UUIDv8 (RFC 9562 §5.8) made of 122 bits of a SHA-256 over the parts: the same parts always give the same id, and it says nothing of them. */
export function hashedUuid(...parts: readonly string[]): string {
  const hash = createHash('sha256').update(parts.join('\0')).digest().subarray(0, 16)
  hash[6] = 0x80 | ((hash[6] ?? 0) & 0x0f)
  hash[8] = 0x80 | ((hash[8] ?? 0) & 0x3f)
  return hash.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}
