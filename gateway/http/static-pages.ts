/**
 * Serves the pages from memory. It reads them at the start, so that no request can name a file, and compresses each when a client
 * first requests it.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname, join, relative, sep } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'

/** A file in one content coding. */
interface Variant {
  readonly body: Uint8Array<ArrayBuffer>
  /** Strong, so every coding has its own (RFC 9110 §8.8.3.3). */
  readonly etag: string
  readonly headers: Readonly<Record<string, string>>
}

type Coding = 'br' | 'gzip' | 'identity'

export type Page = Readonly<Record<Coding, Variant>>

/** By URL path. */
export type Pages = ReadonlyMap<string, Page>

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.yaml': 'application/yaml',
}

export interface PagesOptions {
  /** HTML and style sheets as they are, served under `/assets/pages/`. */
  readonly sourceDir: string
  /** The compiled modules, served under `/assets/`. */
  readonly compiledDir: string
}

/** Reads every page and module. Throws when the modules have not been compiled (`npm run build`). */
export function loadPages({ sourceDir, compiledDir }: PagesOptions): Pages {
  const pages = new Map<string, Page>()
  for (const [dir, prefix] of [
    [sourceDir, '/assets/pages/'],
    [compiledDir, '/assets/'],
  ] as const) {
    for (const file of readdirSync(dir, { recursive: true, withFileTypes: true })) {
      const type = CONTENT_TYPES[extname(file.name)]
      if (!file.isFile() || type === undefined) continue
      const path = join(file.parentPath, file.name)
      const url = prefix + relative(dir, path).split(sep).join('/')
      pages.set(url, page(readFileSync(path), type))
    }
  }
  return pages
}

/** Below Brotli's best, since the first client to request a page waits for its compression. */
const BROTLI_QUALITY = 9

function page(content: Buffer, type: string): Page {
  const hash = createHash('sha256').update(content).digest('base64url').slice(0, 22)
  const variant = (body: Buffer, coding: Coding, etag: string): Variant => ({
    body: new Uint8Array(body),
    etag,
    headers: {
      'content-type': type,
      etag,
      'cache-control': 'no-cache',
      vary: 'accept-encoding',
      ...(coding === 'identity' ? {} : { 'content-encoding': coding }),
    },
  })
  const params = { [constants.BROTLI_PARAM_QUALITY]: BROTLI_QUALITY, [constants.BROTLI_PARAM_SIZE_HINT]: content.length }
  let gzip: Variant | undefined
  let br: Variant | undefined
  return {
    identity: variant(content, 'identity', `"${hash}"`),
    get gzip() {
      return (gzip ??= variant(gzipSync(content), 'gzip', `"${hash}.gzip"`))
    },
    get br() {
      return (br ??= variant(brotliCompressSync(content, { params }), 'br', `"${hash}.br"`))
    },
  }
}

/** The page in the best coding the client takes, or 304 when it has that already (RFC 9110 §13.1.2). */
export function pageResponse(found: Page, request: Readonly<Record<string, string>>): Response {
  const { body, etag, headers } = found[codingFor(request['accept-encoding'] ?? '')]
  return isKnown(etag, request['if-none-match'] ?? '')
    ? new Response(null, { status: 304, headers: { etag, 'cache-control': 'no-cache', vary: 'accept-encoding' } })
    : new Response(body, { headers })
}

/** Chooses the best coding that the client names and does not refuse with `q=0` (RFC 9110 §12.5.3). */
function codingFor(acceptEncoding: string): Coding {
  const accepted = new Set<string>()
  for (const item of acceptEncoding.toLowerCase().split(',')) {
    const [coding = '', ...parameters] = item.split(';').map((part) => part.trim())
    if (!parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter))) accepted.add(coding)
  }
  return accepted.has('br') ? 'br' : accepted.has('gzip') ? 'gzip' : 'identity'
}

/**
 * Whether the client has this version. `If-None-Match` compares weakly: a proxy that changed the coding has made our validator a
 * weak one.
 */
function isKnown(etag: string, ifNoneMatch: string): boolean {
  return ifNoneMatch.split(',').some((item) => {
    const validator = item.trim().replace(/^W\//, '')
    return validator === '*' || validator === etag
  })
}
