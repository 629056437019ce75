/** A bound for work that another machine may never finish. */

/** What `within` rejects with. */
export class TimedOut extends Error {
  override readonly name = 'TimedOut'
}

/**
 * Settles as `work` does, or rejects with `TimedOut` after `ms`. The work is not stopped, only heard no more: whoever starts it again
 * makes sure that the first try can do no harm.
 * @param what for the message: "Redis did not answer".
 */
export async function within<T>(ms: number, what: string, work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new TimedOut(`${what} within ${ms} ms`)), ms)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}
