/**
 * The security headers of every answer: which pages may frame it, and which may read it (CORS). Other origins are those in
 * ALLOWED_ORIGINS, exact; nothing of the organiser's is ever open to them.
 */
import type { HttpBindings } from '@hono/node-server'
import { Hono, type MiddlewareHandler } from 'hono'
import { secureHeaders } from 'hono/secure-headers'

/** What the handlers of the edge share through Hono's context. */
export type EdgeEnv = { Bindings: HttpBindings; Variables: { requestId: string } }

type Handler = MiddlewareHandler<EdgeEnv>

export interface SecurityHeaders {
  /** The headers of every answer: a page may be framed by nobody, and its scripts and styles come from here alone. */
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
    // over plain HTTP browsers ignore it, and who terminates TLS in front decides for itself
    strictTransportSecurity: false,
  })
  // pictures and frames are asked for without an Origin, so their resource policy cannot name one
  const shared = allowed.size > 0 ? ('cross-origin' as const) : ('same-origin' as const)

  /** Answers an allowed origin by its name; `true` when it is one. Caches must keep the answers to different origins apart. */
  const share = (answer: Response, origin: string | undefined): boolean => {
    // then no answer depends on who asks
    if (allowed.size === 0) return false
    // not c.header(): on an answer that is there already it would take the whole answer apart
    const { headers } = answer
    headers.append('vary', 'origin')
    if (origin === undefined || !allowed.has(origin)) return false
    headers.set('access-control-allow-origin', origin)
    return true
  }
  const shareBallot = (answer: Response, origin: string | undefined) => {
    if (share(answer, origin)) answer.headers.set('access-control-allow-credentials', 'true')
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
          // it knows no list of origins, and where frame-ancestors is known it is ignored
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
 * Sets the headers on Node's response before there is an answer, which then keeps them. They are the same each time, and adding a
 * dozen to a finished answer costs as much as a tenth of a vote.
 */
function ahead(headers: Promise<readonly Header[]>): Handler {
  return async (c, next) => {
    for (const [name, value] of await headers) c.env.outgoing.setHeader(name, value)
    await next()
  }
}

/** What a middleware adds to an answer that has none. */
async function headersOf(middleware: MiddlewareHandler): Promise<readonly Header[]> {
  const app = new Hono().use(middleware).get('/', (c) => c.body(null))
  return [...(await app.request('/')).headers]
}
