/** Which web pages may open sockets and vote (RFC 6455 §10.2): exact origins only, no patterns. */
import { z } from 'zod'

/** An origin as browsers send it: scheme, host and port, nothing behind. */
export const originItem: z.ZodType<string, string> = z
  .string()
  .refine((value) => URL.canParse(value) && new URL(value).origin === value, {
    message: 'must hold origins such as https://vote.example.org, without a path',
  })

/** What a request says of where it comes from. */
export interface RequestOrigin {
  readonly origin: string | undefined
  /** `Sec-Fetch-Site` (Fetch Metadata), which pages cannot forge. */
  readonly fetchSite: string | undefined
  /** Under which scheme and host the client sees this server. */
  readonly self: string
}

/**
 * Whether the request may act for its user. A request without an `Origin` comes from no web page of another site and is
 * allowed, unless the browser itself says that it does; `null` is never allowed.
 */
export function createOriginCheck(allowedOrigins: readonly string[]): (request: RequestOrigin) => boolean {
  const allowed = new Set(allowedOrigins)
  return ({ origin, fetchSite, self }) => {
    if (origin === undefined) return fetchSite === undefined || fetchSite === 'same-origin' || fetchSite === 'none'
    return origin === self || allowed.has(origin)
  }
}
