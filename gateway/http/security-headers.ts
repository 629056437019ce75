/**
 * The security headers of every answer: which pages may frame it, and which may read it (CORS). Other origins are exactly those
 * in ALLOWED_ORIGINS; they never get access to the admin page and the admin routes.
 */
import type { HttpBindings } from '@hono/node-server'
import { Hono, type MiddlewareHandler } from 'hono'
import { secureHeaders } from 'hono/secure-headers'

/** What the handlers of the edge share through Hono's context. */
export type EdgeEnv = { Bindings: HttpBindings; Variables: { requestId: string } }

type Handler = MiddlewareHandler<EdgeEnv>

export interface SecurityHeaders {
  /** The headers of every answer: no page may frame it, and its scripts and styles come from this origin alone. */
  readonly closed: Handler
  /** The same for files that other origins may load. */
  readonly loadable: Handler
  /** The same for pages that allowed origins may show in a frame. */
  readonly framed: Handler
  /** Lets allowed origins read what is the same for everyone (CORS, without cookies). */
  readonly readable: Handler
  /** Lets allowed origins read and cast the ballot of this browser: the two routes that need its cookie. */
  readonly votable: Handler
  /** What `closed` sets, for a route without middleware. */
  readonly closedHeaders: Promise<readonly Header[]>
  /** What `votable` does with an answer to a request from this origin. */
  readonly shareBallot: (answer: Response, origin: string | undefined) => void
}

type Header = readonly [name: string, value: string]

const PREFLIGHT_MAX_AGE_S = '600'

export function createSecurityHeaders(allowedOrigins: readonly string[]): SecurityHeaders {
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
    // browsers ignore it over plain HTTP, and the proxy that terminates TLS in front sets its own
    strictTransportSecurity: false,
  })
  // browsers request pictures and frames without an Origin, so this policy cannot name one
  const shared = allowed.size > 0 ? ('cross-origin' as const) : ('same-origin' as const)

  /**
   * Names an allowed origin in the answer and returns true; returns false for any other. `Vary` makes caches keep the answers to
   * different origins apart.
   */
  const share = (answer: Response, origin: string | undefined): boolean => {
    // without other origins no answer depends on the Origin
    if (allowed.size === 0) return false
    // not c.header(), which copies an answer that exists already
    const { headers } = answer
    headers.append('vary', 'origin')
    if (origin === undefined || !allowed.has(origin)) return false
    headers.set('access-control-allow-origin', origin)
    return true
  }
  const shareBallot = (answer: Response, origin: string | undefined) => {
    if (!share(answer, origin)) return
    answer.headers.set('access-control-allow-credentials', 'true')
    answer.headers.set('access-control-expose-headers', 'retry-after')
  }
  const closedHeaders = headersOf(secureHeaders({ ...policy(["'none'"]), xFrameOptions: 'DENY' }))

  return {
    closed: ahead(closedHeaders),
    loadable: ahead(
      headersOf(secureHeaders({ ...policy(["'none'"]), xFrameOptions: 'DENY', crossOriginResourcePolicy: shared })),
    ),
    framed: ahead(
      headersOf(
        secureHeaders({
          ...policy(["'self'", ...allowed]),
          // X-Frame-Options cannot list origins, and browsers that know frame-ancestors ignore it
          xFrameOptions: false,
          crossOriginResourcePolicy: shared,
        }),
      ),
    ),
    async readable(c, next) {
      await next()
      share(c.res, c.req.header('origin'))
    },
    async votable(c, next) {
      if (c.req.method === 'OPTIONS' && c.req.header('access-control-request-method') !== undefined) {
        c.res = new Response(null, { status: 204, headers: { 'cache-control': 'no-store' } })
        if (!share(c.res, c.req.header('origin'))) return
        const { headers } = c.res
        headers.set('access-control-allow-credentials', 'true')
        headers.set('access-control-allow-methods', 'GET, PUT')
        headers.set('access-control-allow-headers', 'content-type, livetally-ticket')
        headers.set('access-control-max-age', PREFLIGHT_MAX_AGE_S)
        return
      }
      await next()
      shareBallot(c.res, c.req.header('origin'))
    },
    closedHeaders,
    shareBallot,
  }
}

/**
 * Sets the headers on Node's response before the answer exists; Node sends them with it. They are the same each time, and adding
 * them to each finished answer would cost more.
 */
function ahead(headers: Promise<readonly Header[]>): Handler {
  return async (c, next) => {
    for (const [name, value] of await headers) c.env.outgoing.setHeader(name, value)
    await next()
  }
}

/** The headers that a middleware adds to an answer. */
async function headersOf(middleware: MiddlewareHandler): Promise<readonly Header[]> {
  const app = new Hono().use(middleware).get('/', (c) => c.body(null))
  return [...(await app.request('/')).headers]
}
