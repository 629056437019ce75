/** What a REDIS_URL says of where Redis is and how to log in. */
import { CannotWork } from '../lifecycle/retry.ts'

/** One Redis, one that Sentinels know the address of, or a cluster. */
export type RedisForm = 'single' | 'sentinel' | 'cluster'

export interface RedisHost {
  readonly host: string
  readonly port: number
}

export interface RedisAddress {
  readonly form: RedisForm
  /** The Redis, the Sentinels, or some nodes of the cluster: one at least. */
  readonly hosts: readonly [RedisHost, ...RedisHost[]]
  /** By which the Sentinels know the master; empty in the other forms. */
  readonly masterName: string
  readonly tls: boolean
  readonly db: number
  readonly username?: string
  readonly password?: string
  readonly sentinelUsername?: string
  readonly sentinelPassword?: string
}

const FORM = /^redis(?<tls>s)?(?:\+(?<form>sentinel|cluster))?:\/\/(?:(?<login>[^/]*)@)?(?<hosts>[^/?#@]+)(?<rest>[/?].*)?$/u
const HOST = /^(?<host>\[[^\]]+\]|[^:[\]]+)(?::(?<port>\d{1,5}))?$/u

/**
 * Reads `redis://user:password@host:6379/0`, `redis+sentinel://user:password@host:26379,host/master-name` or
 * `redis+cluster://user:password@host:6379,host`; with `rediss` for TLS. Throws `CannotWork`, with what is wrong and without the
 * password.
 */
export function parseRedisUrl(url: string): RedisAddress {
  const parts = FORM.exec(url)?.groups
  if (parts === undefined)
    throw new CannotWork('REDIS_URL is none of redis://host, redis+sentinel://host/name, redis+cluster://host')
  const form = (parts['form'] ?? 'single') as RedisForm
  const { pathname, searchParams } = new URL(parts['rest'] ?? '/', 'redis://host')
  const path = decoded(pathname.slice(1))
  const [first, ...others] = (parts['hosts'] ?? '').split(',').map((text) => hostIn(text, form === 'sentinel' ? 26_379 : 6_379))
  if (first === undefined || (form === 'single' && others.length > 0)) {
    throw new CannotWork('REDIS_URL names several hosts: redis+cluster:// or redis+sentinel:// says what they are')
  }
  if (form === 'sentinel' && path === '')
    throw new CannotWork('REDIS_URL lacks the name of the master: redis+sentinel://host/name')
  if (form === 'cluster' && path !== '') throw new CannotWork('REDIS_URL ends with a path, and a cluster has no databases')
  if (form === 'single' && !/^\d*$/.test(path)) throw new CannotWork('REDIS_URL ends with a path that is no number of a database')
  const [username, password] = loginIn(parts['login'] ?? '')
  const given = { username, password, sentinelUsername: query('sentinelUser'), sentinelPassword: query('sentinelPassword') }
  return {
    form,
    hosts: [first, ...others],
    masterName: form === 'sentinel' ? path : '',
    tls: parts['tls'] !== undefined,
    db: form === 'single' ? Number(path) : 0,
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== '')),
  }

  function query(name: string): string {
    return searchParams.get(name) ?? ''
  }
}

/** The user may be empty, as in `redis://:password@host`. */
function loginIn(login: string): [username: string, password: string] {
  const colon = login.indexOf(':')
  if (colon === -1 && login !== '')
    throw new CannotWork('REDIS_URL has a user without a password: write user:password@, or :password@')
  return [decoded(login.slice(0, Math.max(0, colon))), decoded(login.slice(colon + 1))]
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw new CannotWork('REDIS_URL has a % that is no code of a character: write % in a password as %25')
  }
}

function hostIn(text: string, defaultPort: number): RedisHost {
  const parts = HOST.exec(text.trim())?.groups
  const port = Number(parts?.['port'] ?? defaultPort)
  // without what is there instead, which may be the beginning of a password
  if (parts === undefined || port > 65_535)
    throw new CannotWork('REDIS_URL has something else where host:port should be: write / in a password as %2F')
  return { host: (parts['host'] ?? '').replace(/^\[|\]$/g, ''), port }
}
