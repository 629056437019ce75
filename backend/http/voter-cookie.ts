/** Knows a browser again by a signed cookie that scripts cannot read, so that one browser has one ballot in each poll. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { parse, serialize } from 'hono/utils/cookie'
import { voterCookieName } from '../../shared/protocol/vote-bundle.ts'
import { uuidV7 } from '../polls/voter-id.ts'

export type VoterOutcome =
  /** `renewal`: where a previous secret signed the cookie, a `Set-Cookie` header with the same voter id, signed with the present one. */
  | { readonly kind: 'known'; readonly voter: string; readonly renewal: string | undefined }
  | { readonly kind: 'none' }
  /** The cookie's signature is made with none of the secrets: it was made up, or its secret has been given up since. */
  | { readonly kind: 'forged' }

export interface VoterCookie {
  /** Says who sent a request with this `Cookie` header. */
  read(cookie: string | undefined, isSecure: boolean): VoterOutcome
  /** A `Set-Cookie` header that gives the browser a new voter id, replacing what it had. */
  issue(isSecure: boolean): string
}

const MAX_AGE_S = 400 * 24 * 3_600 // what browsers cap it at (RFC 6265bis §5.5)
const SIGNATURE_BYTES = 32 // of SHA-256
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export interface VoterCookieOptions {
  /** Signs. */
  readonly secret: string
  /** What these have signed is good as well. */
  readonly previousSecrets?: readonly string[]
  readonly date: () => number
}

export function createVoterCookie({ secret, previousSecrets = [], date }: VoterCookieOptions): VoterCookie {
  // Signed in the format of Hono's signed cookies, but synchronously: Hono would use the thread pool twice for each vote.
  // The digest is taken as text, since a buffer from OpenSSL lies outside the heap and takes longer to allocate.
  const signatureOf = (voter: string, by = secret) =>
    Buffer.from(createHmac('sha256', by).update(voter).digest('binary'), 'latin1')
  const cookieOf = (voter: string, isSecure: boolean) =>
    serialize(voterCookieName(isSecure), `${voter}.${signatureOf(voter).toString('base64')}`, {
      path: '/',
      httpOnly: true,
      sameSite: 'Lax',
      maxAge: MAX_AGE_S,
      secure: isSecure,
    })
  return {
    read(cookie, isSecure) {
      const name = voterCookieName(isSecure)
      // neither an id nor a signature contains a dot
      const [voter = '', signature, ...rest] = parse(cookie ?? '', name)[name]?.split('.') ?? []
      if (signature === undefined) return { kind: 'none' }
      const given = Buffer.from(signature, 'base64')
      const isWellFormed = rest.length === 0 && UUID.test(voter) && given.length === SIGNATURE_BYTES
      if (!isWellFormed) return { kind: 'forged' }
      if (timingSafeEqual(given, signatureOf(voter))) return { kind: 'known', voter, renewal: undefined }
      const isOlder = previousSecrets.some((previous) => timingSafeEqual(given, signatureOf(voter, previous)))
      return isOlder ? { kind: 'known', voter, renewal: cookieOf(voter, isSecure) } : { kind: 'forged' }
    },
    issue: (isSecure) => cookieOf(uuidV7(date()), isSecure),
  }
}
