/** A line in which requests to read wait, so that a crowd of them waits in the gateway, where votes pass it (docs/adr/0021). */

export interface LineOptions {
  /** How many works are done at a time. */
  readonly atOnce: number
  /** How long a work waits, in ms. One that has waited longer is turned away when the next one ends. */
  readonly patienceMs: number
  /** A clock for spans, in ms. */
  readonly now: () => number
}

interface Waiting {
  readonly since: number
  readonly enter: (isInTime: boolean) => void
}

/** Returns a function that does a work when its turn has come, first come, first served. It resolves to undefined if that is too late. */
export function createLine({ atOnce, patienceMs, now }: LineOptions): <T>(work: () => Promise<T>) => Promise<T | undefined> {
  const waiting = new Set<Waiting>()
  let free = atOnce

  const leave = () => {
    free += 1
    for (const one of waiting) {
      const isInTime = now() - one.since <= patienceMs
      if (isInTime && free === 0) return
      waiting.delete(one)
      if (isInTime) free -= 1
      one.enter(isInTime)
    }
  }

  return async (work) => {
    if (free > 0) free -= 1
    else if (!(await new Promise<boolean>((enter) => waiting.add({ since: now(), enter })))) return undefined
    try {
      return await work()
    } finally {
      leave()
    }
  }
}
