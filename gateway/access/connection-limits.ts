/** Limits the open sockets, in all and per address, and the rate of handshakes, so that a crowd cannot block the event loop. */
import { createPlaces } from './places.ts'

export interface ConnectionLimitsOptions {
  /** The most sockets that may be open in this process. */
  readonly maxSockets: number
  /** The most sockets that may be open from one address. Everyone in a hall may share one. */
  readonly maxPerAddress: number
  /** Handshakes a second in the long run; a burst may have those of four seconds. One address gets half of either. */
  readonly handshakesPerSecond: number
  /** Monotonic milliseconds. */
  readonly now: () => number
}

/**
 * `full`: this process has `maxSockets`. `crowded`: the address has `maxPerAddress`. `busy`: handshakes come too fast; a later
 * one is admitted. `hasty`: they come too fast from this address.
 */
export type Verdict = 'admitted' | 'full' | 'crowded' | 'busy' | 'hasty'

export interface ConnectionLimits {
  /** Decides on a socket, and counts it if it is admitted. The caller then calls `leave` when the socket has closed. */
  enter(address: string): Verdict
  leave(address: string): void
}

const BURST_S = 4

export function createConnectionLimits({
  maxSockets,
  maxPerAddress,
  handshakesPerSecond,
  now,
}: ConnectionLimitsOptions): ConnectionLimits {
  const places = createPlaces({ max: maxSockets, maxPerAddress })
  const burst = handshakesPerSecond * BURST_S
  let tokens = burst
  let filledAt = now()
  /** Handshakes by address since `countedSince`; it begins anew after the time of a burst, so it does not grow. */
  const recent = new Map<string, number>()
  let countedSince = filledAt

  const rateOf = (address: string): 'admitted' | 'busy' | 'hasty' => {
    const at = now()
    tokens = Math.min(burst, tokens + ((at - filledAt) / 1_000) * handshakesPerSecond)
    filledAt = at
    if (at - countedSince >= BURST_S * 1_000) {
      recent.clear()
      countedSince = at
    }
    const fromThere = recent.get(address) ?? 0
    if (fromThere >= burst / 2) return 'hasty'
    if (tokens < 1) return 'busy'
    tokens -= 1
    recent.set(address, fromThere + 1)
    return 'admitted'
  }

  return {
    enter(address) {
      const place = places.enter(address)
      if (place !== 'admitted') return place
      const rate = rateOf(address)
      if (rate !== 'admitted') places.leave(address)
      return rate
    },
    leave: places.leave,
  }
}
