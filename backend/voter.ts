/** Who votes: a browser, known by a signed cookie that scripts cannot read. One browser, one ballot. */
import { randomBytes } from 'node:crypto'
import type { Context } from 'hono'
import { getSignedCookie, setSignedCookie } from 'hono/cookie'

export type VoterOutcome =
  | { readonly kind: 'known'; readonly voter: string }
  | { readonly kind: 'none' }
  /** The cookie has a signature, but not ours: made up, or signed with a secret since replaced. */
  | { readonly kind: 'forged' }

export interface VoterCookie {
  read(c: Context): Promise<VoterOutcome>
  /** Gives the browser a new voter id with the response, replacing what it had. */
  issue(c: Context): Promise<string>
}

const NAME = 'voter'
const MAX_AGE_S = 400 * 24 * 3_600 // what browsers cap it at (RFC 6265bis §5.5)
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

export function createVoterCookie(options: { readonly secret: string; readonly now: () => number }): VoterCookie {
  /** Over TLS the name gets the `__Host-` prefix, which no sibling domain and no plain page can overwrite. */
  const prefix = (c: Context) => (c.req.header('x-forwarded-proto') === 'https' ? ('host' as const) : undefined)
  return {
    async read(c) {
      const voter = await getSignedCookie(c, options.secret, NAME, prefix(c))
      if (voter === undefined) return { kind: 'none' }
      return voter !== false && UUID.test(voter) ? { kind: 'known', voter } : { kind: 'forged' }
    },
    async issue(c) {
      const voter = uuidV7(options.now())
      const secure = prefix(c) === 'host'
      await setSignedCookie(c, NAME, voter, options.secret, {
        path: '/',
        httpOnly: true,
        sameSite: 'Lax',
        maxAge: MAX_AGE_S,
        secure,
        ...(secure ? { prefix: 'host' } : {}),
      })
      return voter
    },
  }
}

/**
 * A time-ordered UUID (RFC 9562 §5.7): 48 bits of milliseconds, 74 random bits. In time order because neighbours in the ballots'
 * index then share pages, which costs an eighth of the write-ahead log of random ids.
 */
export function uuidV7(nowMs: number): string {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(nowMs, 0, 6)
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f)
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f)
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}
