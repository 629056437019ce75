/** In place of the backend's routes: probes, bundles of votes, and polls for the feeds of gateways. */
import type { AppOptions } from '../../backend/http/app.ts'
import { problem, PROBLEM_CONTENT_TYPE } from '../../shared/protocol/problem.ts'
import type { Handle } from './http.ts'
import { here } from './scheduler.ts'
import { world } from './surroundings.ts'

const JSON_TYPE = { 'content-type': 'application/json' }
const refusal = (status: number, kind: string) => ({
  status,
  headers: { 'content-type': PROBLEM_CONTENT_TYPE },
  body: JSON.stringify(problem(status, kind, '')),
})

export function createApp({ probes, votes, views, ballotBox }: AppOptions): { fetch: Handle } {
  world.waitingVotes.set(here().name, () => ballotBox.queued)
  world.probes.set(here().name, probes)
  return {
    async fetch({ target, body }, isAwaited) {
      if (target === '/ready') {
        const ready = probes.ready()
        return { status: ready.status, headers: JSON_TYPE, body: JSON.stringify(ready.body) }
      }
      if (target === '/votes') {
        const answers = await world.judge.mustSettle('a bundle at a backend', votes.castAll(JSON.parse(body), isAwaited))
        return { status: 200, headers: JSON_TYPE, body: JSON.stringify(answers) }
      }
      world.sometimes.note('a gateway asks a backend for a poll that the bus does not know')
      // the route turns what the view throws into a problem
      const view = await views.read(target.slice('/api/polls/'.length)).catch(() => null)
      if (view === null) return refusal(503, 'unavailable')
      return view === undefined ? refusal(404, 'unknown-poll') : { status: 200, headers: JSON_TYPE, body: JSON.stringify(view) }
    },
  }
}
