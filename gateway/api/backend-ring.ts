/** Chooses which backend a request goes to: the same one for all, until it fails. */

export interface BackendRing<Backend> {
  /**
   * The backend for the next try of a request: of those that are not avoided the first that has not failed it, else the first; when
   * all are avoided, the one that answered last, so that one that is slow is preferred to one that hangs.
   */
  choose(failed: ReadonlySet<Backend>): Backend
  /**
   * Tells that a backend has failed a request. Requests begin with the next one from now on, and avoid this one for `avoidMs`.
   * Returns whether it was not avoided before.
   */
  fail(backend: Backend, avoidMs: number): boolean
  /** Tells that a backend has answered: it is avoided no longer. */
  answer(backend: Backend): void
}

/** Creates the ring. `now` is a clock for spans, in ms. Throws when there is no backend. */
export function createBackendRing<Backend>(backends: readonly Backend[], now: () => number): BackendRing<Backend> {
  const [only] = backends
  if (only === undefined) throw new Error('no backend is configured')
  const avoidedUntil = new Map<Backend, number>()
  const isGood = (backend: Backend) => (avoidedUntil.get(backend) ?? 0) <= now()
  let first = 0
  let lastToAnswer: Backend | undefined

  return {
    choose(failed) {
      const next = backends[first] ?? only
      if (isGood(next) && !failed.has(next)) return next
      const order = [...backends.slice(first), ...backends.slice(0, first)]
      const good = order.filter(isGood)
      const fresh = (backend: Backend) => !failed.has(backend)
      return good.find(fresh) ?? good[0] ?? lastToAnswer ?? order.find(fresh) ?? next
    },
    fail(backend, avoidMs) {
      const wasGood = isGood(backend)
      avoidedUntil.set(backend, now() + avoidMs)
      // many requests may fail at once, and only the first of them moves the ring on
      if (backends[first] === backend) first = (first + 1) % backends.length
      return wasGood
    },
    answer(backend) {
      lastToAnswer = backend
      avoidedUntil.delete(backend)
    },
  }
}
