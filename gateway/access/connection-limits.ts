/** How many sockets may come, from where, and how fast: so that a crowd that comes at once cannot take the event loop down. */

export interface AdmissionOptions {
  /** Open sockets in this process. */
  readonly maxSockets: number
  /** Open sockets from one address; a whole hall may share one. */
  readonly maxPerAddress: number
  /** Handshakes a second in the long run; four seconds' worth may come at once. */
  readonly handshakesPerSecond: number
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** `full`: no more sockets here. `crowded`: no more from that address. `busy`: later, but soon. */
export type Verdict = 'admitted' | 'full' | 'crowded' | 'busy'

export interface Admission {
  /** Counts the socket in when it is admitted: whoever was admitted must `leave`. */
  enter(address: string): Verdict
  leave(address: string): void
}

const BURST_S = 4

export function createAdmission({ maxSockets, maxPerAddress, handshakesPerSecond, now }: AdmissionOptions): Admission {
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
      tokens = Math.min(burst, tokens + (Math.max(0, at - filledAt) / 1_000) * handshakesPerSecond)
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
