/** A line in which requests to read wait, so that a crowd of them waits in the gateway, where votes pass it (docs/adr/0021). */

export interface LineOptions {
  /** How many works are done at a time. */
  readonly atOnce: number
  /** How long a work waits, in ms. One that has waited longer is turned away when the next one ends. */
  readonly patienceMs: number
  /** A clock for spans, in ms. */
  readonly now: () => number
}

export type InLine = <T>(work: () => Promise<T>, isAwaited?: () => boolean) => Promise<T | undefined>

interface Waiting {
  readonly since: number
  readonly isAwaited: () => boolean
  readonly enter: (mayEnter: boolean) => void
}

/**
 * Returns a function that does a work when its turn has come, first come, first served. It resolves to undefined if that is too late, or
 * if `isAwaited` says by then that nobody waits for the work any more.
 */
export function createLine({ atOnce, patienceMs, now }: LineOptions): InLine {
  const waiting = new Set<Waiting>()
  let free = atOnce

  const leave = () => {
    free += 1
    for (const one of waiting) {
      const mayEnter = now() - one.since <= patienceMs && one.isAwaited()
      if (mayEnter && free === 0) return
      waiting.delete(one)
      if (mayEnter) free -= 1
      one.enter(mayEnter)
    }
  }

  return async (work, isAwaited = () => true) => {
    if (!isAwaited()) return undefined
    if (free > 0) free -= 1
    else if (!(await new Promise<boolean>((enter) => waiting.add({ since: now(), isAwaited, enter })))) return undefined
    try {
      return await work()
    } finally {
      leave()
    }
  }
}
