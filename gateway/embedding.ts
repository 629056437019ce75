/** What pages of other origins may read and frame: those in ALLOWED_ORIGINS, exact, and never anything of the organiser's. */
import type { Context, MiddlewareHandler } from 'hono'
import { secureHeaders } from 'hono/secure-headers'

export interface Embedding {
  /** The headers of every answer: a page may be framed by nobody, and its scripts and styles come from here alone. */
  readonly closed: MiddlewareHandler
  /** The same for files that other origins may load. */
  readonly loadable: MiddlewareHandler
  /** The same for pages that allowed origins may show in a frame. */
  readonly framed: MiddlewareHandler
  /** Lets allowed origins read what is the same for everyone (CORS, without cookies). */
  readonly readable: MiddlewareHandler
  /** Lets allowed origins read and cast the ballot of this browser: the two routes that need its cookie. */
  readonly votable: MiddlewareHandler
}

const PREFLIGHT_MAX_AGE_S = '600'

export function createEmbedding(allowedOrigins: readonly string[]): Embedding {
  const allowed = new Set(allowedOrigins)
  const policy = (frameAncestors: string[]) => ({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      scriptSrc: ["'self'"],
      styleSrc: ["'self'"],
      imgSrc: ["'self'"],
      connectSrc: ["'self'"],
      baseUri: ["'none'"],
      formAction: ["'self'"],
      frameAncestors,
    },
    referrerPolicy: 'no-referrer' as const,
    // over plain HTTP browsers ignore it, and who terminates TLS in front decides for itself
    strictTransportSecurity: false,
  })
  // pictures and frames are asked for without an Origin, so their resource policy cannot name one
  const shared = allowed.size > 0 ? ('cross-origin' as const) : ('same-origin' as const)

  /** Answers an allowed origin by its name; `true` when it is one. Caches must keep the answers to different origins apart. */
  const share = (c: Context): boolean => {
    // not c.header(): on an answer that is there already it would take the whole answer apart
    const { headers } = c.res
    headers.append('vary', 'origin')
    const origin = c.req.header('origin')
    if (origin === undefined || !allowed.has(origin)) return false
    headers.set('access-control-allow-origin', origin)
    return true
  }

  return {
    closed: secureHeaders({ ...policy(["'none'"]), xFrameOptions: 'DENY' }),
    loadable: secureHeaders({ ...policy(["'none'"]), xFrameOptions: 'DENY', crossOriginResourcePolicy: shared }),
    framed: secureHeaders({
      ...policy(["'self'", ...allowed]),
      // it knows no list of origins, and where frame-ancestors is known it is ignored
      xFrameOptions: false,
      crossOriginResourcePolicy: shared,
    }),
    async readable(c, next) {
      await next()
      share(c)
    },
    async votable(c, next) {
      if (c.req.method === 'OPTIONS' && c.req.header('access-control-request-method') !== undefined) {
        c.res = new Response(null, { status: 204, headers: { 'cache-control': 'no-store' } })
        if (!share(c)) return
        const { headers } = c.res
        headers.set('access-control-allow-credentials', 'true')
        headers.set('access-control-allow-methods', 'GET, PUT')
        headers.set('access-control-allow-headers', 'content-type, livetally-ticket')
        headers.set('access-control-max-age', PREFLIGHT_MAX_AGE_S)
        return
      }
      await next()
      if (share(c)) c.res.headers.set('access-control-allow-credentials', 'true')
    },
  }
}
