/** Who votes: a browser, known by a signed cookie that scripts cannot read. One browser, one ballot. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { parse, serialize } from 'hono/utils/cookie'
import { uuidV7 } from '../polls/voter-id.ts'

export type VoterOutcome =
  | { readonly kind: 'known'; readonly voter: string }
  | { readonly kind: 'none' }
  /** The cookie has a signature, but not ours: made up, or signed with a secret since replaced. */
  | { readonly kind: 'forged' }

export interface VoterCookie {
  /** Who sent a request with this `Cookie` header. */
  read(cookie: string | undefined, isSecure: boolean): VoterOutcome
  /** A `Set-Cookie` header that gives the browser a new voter id, replacing what it had. */
  issue(isSecure: boolean): string
}

const MAX_AGE_S = 400 * 24 * 3_600 // what browsers cap it at (RFC 6265bis §5.5)
const SIGNATURE_BYTES = 32 // of SHA-256
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export function createVoterCookie(options: { readonly secret: string; readonly now: () => number }): VoterCookie {
  // Signed as Hono's signed cookies are, but at once: those go to the thread pool and back, twice for each vote.
  // Out of OpenSSL as text: that takes a fifth less time than as a buffer, which lies outside the heap.
  const signatureOf = (voter: string) =>
    Buffer.from(createHmac('sha256', options.secret).update(voter).digest('binary'), 'latin1')
  return {
    read(cookie, isSecure) {
      const name = nameFor(isSecure)
      // an id holds no dot, a signature none either
      const [voter = '', signature, ...rest] = parse(cookie ?? '', name)[name]?.split('.') ?? []
      if (signature === undefined) return { kind: 'none' }
      const given = Buffer.from(signature, 'base64')
      const isGood = rest.length === 0 && UUID.test(voter) && given.length === SIGNATURE_BYTES
      return isGood && timingSafeEqual(given, signatureOf(voter)) ? { kind: 'known', voter } : { kind: 'forged' }
    },
    issue(isSecure) {
      const voter = uuidV7(options.now())
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

/** Over TLS the name gets the `__Host-` prefix, which no sibling domain and no plain page can overwrite. */
function nameFor(isSecure: boolean): string {
  return isSecure ? '__Host-voter' : 'voter'
}
