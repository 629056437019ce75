/** Makes voter ids: random ones for browsers, hashed ones for the holders of tickets and for voters of other programs. */
import { createHash, randomUUID } from 'node:crypto'

/** A UUIDv8 (RFC 9562 §5.8) from 122 bits of a SHA-256 over the parts: the same parts give the same id, which hides them. */
export function hashedUuid(...parts: readonly string[]): string {
  const hash = createHash('sha256').update(parts.join('\0')).digest().subarray(0, 16)
  hash[6] = 0x80 | ((hash[6] ?? 0) & 0x0f)
  hash[8] = 0x80 | ((hash[8] ?? 0) & 0x3f)
  return hash.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

/**
 * A time-ordered UUID (RFC 9562 §5.7): 48 bits of milliseconds, 74 random bits. New ids are neighbours in the ballots' index and
 * share its pages, so Postgres writes fewer pages to its log than with random ids.
 */
export function uuidV7(nowMs: number): string {
  const time = nowMs.toString(16).padStart(12, '0')
  // a version 4 has the variant and the random bits in the same places, and Node makes the bits of many ids at once
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randomUUID().slice(15)}`
}
