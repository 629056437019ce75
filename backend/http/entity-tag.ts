/** Entity tags, by which a client asks whether what it has is still as it was (RFC 9110 §8.8.3, §13.1.2). */
import { createHash } from 'node:crypto'

/** JSON that is written once for everyone who asks for it. `T` is what it says. */
export interface SharedJson<T> {
  readonly text: string
  readonly etag: string
  /** Not a field: it ties the text to its type. */
  readonly says?: T
}

export function sharedJson<T>(value: T): SharedJson<T> {
  const text = JSON.stringify(value)
  // a weak tag, since a proxy may change the encoding of the same content
  return { text, etag: `W/"${createHash('sha256').update(text).digest('base64url')}"` }
}

/**
 * Whether an `If-None-Match` field, which may list several tags or be `*`, names the weak tag, so that the answer is 304. The tag has
 * no comma.
 */
export function isMatched(field: string | undefined, etag: string): boolean {
  if (field === undefined) return false
  return field.split(',').some((listed) => ['*', etag, etag.slice(2)].includes(listed.trim()))
}
