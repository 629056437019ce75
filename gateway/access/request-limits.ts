/** Limits what one address may ask for in a while, in this process (docs/adr/0024). */
import { createRequire } from 'node:module'
import type { RateLimiterMemory as Limiter, RateLimiterRes } from 'rate-limiter-flexible'
import { problemResponse } from '../../shared/protocol/problem.ts'
import { networkOf } from './network.ts'

// the package's main file would also load its clients of a dozen databases, and delay the start by 35 ms
const RateLimiterMemory = createRequire(import.meta.url)('rate-limiter-flexible/lib/RateLimiterMemory.js') as typeof Limiter

/** `voters` are new voter cookies; `histories` are histories and exports. */
export type Limited = 'votes' | 'voters' | 'histories'

/** For how long each is counted, in s: a voter waits no longer than that to be heard. */
const WINDOW_S: Readonly<Record<Limited, number>> = { votes: 10, voters: 60, histories: 10 }

const NOUNS: Readonly<Record<Limited, string>> = { votes: 'votes', voters: 'new voters', histories: 'histories and exports' }

export interface RequestLimitsOptions {
  /** How many of each one address gets in its window; 0 for no limit. */
  readonly quotas: Readonly<Record<Limited, number>>
  /** Called with each refusal. */
  readonly onRefused?: (what: Limited, address: string) => void
}

export interface RequestLimits {
  /**
   * Counts one more for the address, with which its /64 counts as one. Resolves to undefined if it may have it, otherwise to the answer:
   * 429, with the fields of draft-ietf-httpapi-ratelimit-headers-10. Never rejects.
   */
  refusal(what: Limited, address: string): Promise<Response | undefined>
}

export function createRequestLimits({ quotas, onRefused = () => {} }: RequestLimitsOptions): RequestLimits {
  const limiterOf = (what: Limited) =>
    quotas[what] === 0 ? undefined : new RateLimiterMemory({ points: quotas[what], duration: WINDOW_S[what] })
  const limiters = { votes: limiterOf('votes'), voters: limiterOf('voters'), histories: limiterOf('histories') }
  return {
    refusal: async (what, address) =>
      await limiters[what]?.consume(networkOf(address)).then(
        () => undefined,
        ({ msBeforeNext }: RateLimiterRes) => {
          onRefused(what, address)
          return tooMany(what, quotas[what], msBeforeNext)
        },
      ),
  }
}

function tooMany(what: Limited, quota: number, msBeforeNext: number): Response {
  const windowS = WINDOW_S[what]
  // the limiter reads the wall clock, which may be set meanwhile
  const waitS = Math.min(windowS, Math.max(1, Math.ceil(msBeforeNext / 1_000)))
  const detail =
    `Your address gets ${quota} ${NOUNS[what]} within ${windowS} s here, and others may share it. Nothing was changed: ` +
    'repeat the request after the seconds in Retry-After.'
  return problemResponse(429, 'too-many', detail, {
    'retry-after': String(waitS),
    'ratelimit-policy': `"${what}";q=${quota};w=${windowS}`,
    ratelimit: `"${what}";r=0;t=${waitS}`,
  })
}
