/** Limits the open sockets, in all and per address, and the rate of handshakes, so that a crowd cannot block the event loop. */

export interface ConnectionLimitsOptions {
  /** The most sockets that may be open in this process. */
  readonly maxSockets: number
  /** The most sockets that may be open from one address. Everyone in a hall may share one. */
  readonly maxPerAddress: number
  /** Handshakes a second in the long run; a burst may have those of four seconds. */
  readonly handshakesPerSecond: number
  /** Monotonic milliseconds. */
  readonly now: () => number
}

/**
 * `full`: this process has `maxSockets`. `crowded`: the address has `maxPerAddress`. `busy`: handshakes come too fast; a later
 * one is admitted.
 */
export type Verdict = 'admitted' | 'full' | 'crowded' | 'busy'

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
  const byAddress = new Map<string, number>()
  const burst = handshakesPerSecond * BURST_S
  let sockets = 0
  let tokens = burst
  let filledAt = now()
  return {
    enter(address) {
      if (sockets >= maxSockets) return 'full'
      const fromThere = byAddress.get(address) ?? 0
      if (fromThere >= maxPerAddress) return 'crowded'
      const at = now()
      tokens = Math.min(burst, tokens + ((at - filledAt) / 1_000) * handshakesPerSecond)
      filledAt = at
      if (tokens < 1) return 'busy'
      tokens -= 1
      sockets += 1
      byAddress.set(address, fromThere + 1)
      return 'admitted'
    },
    leave(address) {
      sockets -= 1
      const left = (byAddress.get(address) ?? 1) - 1
      if (left > 0) byAddress.set(address, left)
      else byAddress.delete(address)
    },
  }
}
