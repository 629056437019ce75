/** The Origin check: which web pages may open sockets and vote (RFC 6455 §10.2). Exact origins only, no patterns. */
import type { IncomingHttpHeaders } from 'node:http'
import { z } from 'zod'

/** An origin as browsers send it: scheme, host and port, without a path. */
export const originItem: z.ZodType<string, string> = z
  .string()
  .refine((value) => URL.canParse(value) && new URL(value).origin === value && !value.includes('*'), {
    message:
      'must hold origins such as https://vote.example.org, without a path, and each one by itself: no pattern is understood',
  })

/** Whether a request with these headers may act for its user on a server that its client knows as the origin `self`. */
export type OriginCheck = (headers: IncomingHttpHeaders, self: string) => boolean

/**
 * Creates the check. It allows a request without an `Origin`, unless the browser says in `Sec-Fetch-Site` (Fetch Metadata, which
 * pages cannot forge) that a page of another origin sends it. It never allows the origin `null`.
 */
export function createOriginCheck(allowedOrigins: readonly string[]): OriginCheck {
  const allowed = new Set(allowedOrigins)
  return ({ origin, 'sec-fetch-site': fetchSite }, self) => {
    if (origin === undefined) return fetchSite === undefined || fetchSite === 'same-origin' || fetchSite === 'none'
    return origin === self || allowed.has(origin)
  }
}
