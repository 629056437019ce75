/** Knows a browser again by a signed cookie that scripts cannot read, so that one browser has one ballot in each poll. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { parse, serialize } from 'hono/utils/cookie'
import { uuidV7 } from '../polls/voter-id.ts'

export type VoterOutcome =
  | { readonly kind: 'known'; readonly voter: string }
  | { readonly kind: 'none' }
  /** The cookie's signature is not made with the secret: it was made up, or the secret has been replaced since. */
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

export function createVoterCookie(options: { readonly secret: string; readonly date: () => number }): VoterCookie {
  // Signed in the format of Hono's signed cookies, but synchronously: Hono would use the thread pool twice for each vote.
  // The digest is taken as text, since a buffer from OpenSSL lies outside the heap and takes longer to allocate.
  const signatureOf = (voter: string) =>
    Buffer.from(createHmac('sha256', options.secret).update(voter).digest('binary'), 'latin1')
  return {
    read(cookie, isSecure) {
      const name = nameFor(isSecure)
      // neither an id nor a signature contains a dot
      const [voter = '', signature, ...rest] = parse(cookie ?? '', name)[name]?.split('.') ?? []
      if (signature === undefined) return { kind: 'none' }
      const given = Buffer.from(signature, 'base64')
      const isGood = rest.length === 0 && UUID.test(voter) && given.length === SIGNATURE_BYTES
      return isGood && timingSafeEqual(given, signatureOf(voter)) ? { kind: 'known', voter } : { kind: 'forged' }
    },
    issue(isSecure) {
      const voter = uuidV7(options.date())
      return serialize(nameFor(isSecure), `${voter}.${signatureOf(voter).toString('base64')}`, {
        path: '/',
        httpOnly: true,
        sameSite: 'Lax',
        maxAge: MAX_AGE_S,
        secure: isSecure,
      })
    },
  }
}

/** Over TLS the name has the `__Host-` prefix: browsers let no sibling domain and no plain page overwrite such a cookie. */
function nameFor(isSecure: boolean): string {
  return isSecure ? '__Host-voter' : 'voter'
}
