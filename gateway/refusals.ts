/** Tells the operator what the limits of the edge refuse. */
import type { Log } from '../shared/telemetry/log.ts'
import type { Metrics } from '../shared/telemetry/metrics.ts'
import type { Limited } from './access/request-limits.ts'

export type Limit = Limited | 'connections' | 'sockets' | 'handshakes'

export interface Refusals {
  /** Counts a refusal of something that came from this address. */
  add(limit: Limit, address: string): void
}

/** Each limit is logged this often at most, in ms. */
const LOGGED_EVERY_MS = 60_000

export function createRefusals(options: { readonly metrics: Metrics; readonly log: Log; readonly now: () => number }): Refusals {
  const counted = options.metrics.counter('livetally_refusals_total', 'What limits have refused, by limit.', ['limit'])
  const loggedAt = new Map<Limit, number>()
  return {
    add(limit, address) {
      counted.add(1, { limit })
      const at = options.now()
      if (at - (loggedAt.get(limit) ?? -Infinity) < LOGGED_EVERY_MS) return
      loggedAt.set(limit, at)
      options.log.warn({ limit, address }, 'an address is refused')
    },
  }
}
