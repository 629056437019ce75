/** In place of the gateway's routes: probes, and votes on their way through the stamps and bundles of the edge. */
import type { AppOptions } from '../../gateway/http/app.ts'
import type { Handle } from './http.ts'
import { here } from './scheduler.ts'
import { world } from './surroundings.ts'

export function createApp({ probes, castVote }: AppOptions): { fetch: Handle } {
  world.probes.set(here().name, probes)
  return {
    async fetch({ target, headers, body }, isAwaited) {
      if (target === '/ready') {
        const ready = probes.ready()
        return { status: ready.status, headers: {}, body: JSON.stringify(ready.body) }
      }
      const poll = /^\/api\/polls\/(.+)\/vote$/.exec(target)?.[1] ?? ''
      const { cookie } = headers
      const vote = { poll, body, isSecure: false, requestId: 'r', ...(cookie === undefined ? {} : { cookie }) }
      return await world.judge.mustSettle('a vote at a gateway', castVote(vote, isAwaited))
    },
  }
}
