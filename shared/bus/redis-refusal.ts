/** What Redis refuses, in words that say what would be right. */
import { CannotWork } from '../lifecycle/retry.ts'
import type { RedisForm } from './redis-url.ts'

/** What Redis says, in which form of REDIS_URL, and what that means. No further try can help against any of these. */
const REFUSALS: readonly (readonly [says: RegExp, means: string, forms?: readonly RedisForm[]])[] = [
  [/WRONGPASS|NOAUTH|invalid password|invalid username/i, 'Redis does not take the user and password of REDIS_URL'],
  [
    /NOPERM|No permissions|can't (?:run|access)/i,
    'the user of REDIS_URL lacks a right that Livetally needs (infra/redis/users.acl has them all)',
  ],
  [
    /\b(?:MOVED|ASK|CROSSSLOT|CLUSTERDOWN)\b/,
    'this Redis is a node of a cluster: REDIS_URL must begin with redis+cluster:// or rediss+cluster://',
    ['single', 'sentinel'],
  ],
  [/cluster support disabled/, 'this Redis is no cluster: REDIS_URL must begin with redis:// or rediss://', ['cluster']],
  [
    /unknown command/,
    'this is a Sentinel, or no Redis: where it is a Sentinel, REDIS_URL is redis+sentinel://host:26379/name-of-the-master',
    ['single', 'cluster'],
  ],
  [/unknown command/, 'this is no Sentinel: REDIS_URL with the Redis itself is redis://host:6379', ['sentinel']],
  [/invalid reply: null/, 'the Sentinels know no master of the name that REDIS_URL ends with', ['sentinel']],
]

/** The error itself, or one that says what has to be changed so that Livetally can work with this Redis. */
export function explained(error: unknown, form: RedisForm): Error {
  const cause = error instanceof Error ? error : new Error(String(error))
  const found = REFUSALS.find(([says, , forms]) => says.test(cause.message) && forms?.includes(form) !== false)
  return found === undefined ? cause : new CannotWork(`${found[1]}: ${cause.message}`, { cause })
}
