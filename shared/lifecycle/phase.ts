/** Where a service is in its life: `starting → ready → draining → stopped`, one way, steps may be left out. */

export type PhaseName = 'starting' | 'ready' | 'draining' | 'stopped'

const ORDER: readonly PhaseName[] = ['starting', 'ready', 'draining', 'stopped']

export interface Phase {
  readonly current: PhaseName
  /** Moves on; a step back or a repetition changes nothing. */
  advance(to: PhaseName): void
  /** Whether this phase, or one after it, has been reached. */
  reached(phase: PhaseName): boolean
}

export function createPhase(): Phase {
  let index = 0
  return {
    get current() {
      return ORDER[index] ?? 'stopped'
    },
    advance(to) {
      index = Math.max(index, ORDER.indexOf(to))
    },
    reached: (phase) => index >= ORDER.indexOf(phase),
  }
}
