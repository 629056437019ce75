/** The servers that a connection string names, of which one takes writes. */
import { z } from 'zod'

/** postgres://user:password@host:port,host:port/database?target_session_attrs=read-write, as libpq takes it. */
const SEVERAL = /^(postgres(?:ql)?:\/\/(?:[^/?#]*@)?)([^/?#@]*,[^/?#@]*)([/?#].*)?$/

/** A connection string for each of the hosts. */
export function urlsOf(text: string): string[] {
  const [, before = '', hosts, behind = ''] = SEVERAL.exec(text) ?? []
  return hosts === undefined ? [text] : hosts.split(',').map((host) => before + host + behind)
}

/** The text of a variable such as `DATABASE_URL`. */
export const databaseUrl: z.ZodType<string, string> = z
  .string()
  .refine(
    (value) => urlsOf(value).every((url) => URL.canParse(url) && /^postgres(?:ql)?:$/.test(new URL(url).protocol)),
    'must be a URL that starts with postgres:// or postgresql://, with one host or several with commas between them',
  )
  .refine(
    (value) =>
      urlsOf(value).every((url) => !URL.canParse(url) || WRITES.has(new URL(url).searchParams.get('target_session_attrs'))),
    'must have target_session_attrs=read-write or none: Livetally uses the server that takes writes',
  )

/** What libpq is told by somebody who wants the server that takes writes. */
const WRITES = new Set([null, 'read-write', 'primary'])

export interface Hosts {
  /** The connection string to use next. */
  readonly url: string
  readonly count: number
  /** To be told that no server that takes writes is at an address: the next one is tried then. */
  skip(url: string): void
}

export function createHosts(text: string): Hosts {
  const urls = urlsOf(text)
  let [current = text] = urls
  return {
    get url() {
      return current
    },
    count: urls.length,
    skip(url) {
      if (url === current) current = urls[(urls.indexOf(url) + 1) % urls.length] ?? url
    },
  }
}

/** The host and port of a connection string, to be shown. */
export function placeOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : 'the server'
}
