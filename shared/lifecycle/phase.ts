/** Where a service is in its life: `starting → ready → draining → stopped`, one way, steps may be left out. */

export type PhaseName = 'starting' | 'ready' | 'draining' | 'stopped'

const ORDER: readonly PhaseName[] = ['starting', 'ready', 'draining', 'stopped']

export interface Phase {
  readonly current: PhaseName
  /** Moves on; a step back or a repetition changes nothing. */
  advance(to: PhaseName): void
  /** Whether this phase, or one after it, has been reached. */
  reached(phase: PhaseName): boolean
  /** Calls the listener with each phase entered from now on. */
  onChange(listener: (phase: PhaseName) => void): void
}

export function createPhase(): Phase {
  let index = 0
  const listeners: ((phase: PhaseName) => void)[] = []
  const current = (): PhaseName => ORDER[index] ?? 'stopped'
  return {
    get current() {
      return current()
    },
    advance(to) {
      const next = ORDER.indexOf(to)
      if (next <= index) return
      index = next
      for (const listener of listeners) listener(current())
    },
    reached: (phase) => index >= ORDER.indexOf(phase),
    onChange: (listener) => void listeners.push(listener),
  }
}
