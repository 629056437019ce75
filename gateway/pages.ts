/** The pages: read once at start, served from memory, so that no request ever names a file. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { extname, join, relative, sep } from 'node:path'

export interface Page {
  readonly body: Uint8Array<ArrayBuffer>
  readonly headers: Readonly<Record<string, string>>
  readonly etag: string
}

/** By URL path. */
export type Pages = ReadonlyMap<string, Page>

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
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

function page(content: Buffer, type: string): Page {
  const etag = `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`
  return { body: new Uint8Array(content), etag, headers: { 'content-type': type, etag, 'cache-control': 'no-cache' } }
}

/** The page, or 304 when the client has it already (RFC 9110 §13.1.2). */
export function pageResponse(found: Page, ifNoneMatch: string | undefined): Response {
  return ifNoneMatch === found.etag
    ? new Response(null, { status: 304, headers: { etag: found.etag, 'cache-control': 'no-cache' } })
    : new Response(found.body, { headers: found.headers })
}
