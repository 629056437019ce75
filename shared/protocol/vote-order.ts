/** The order of one voter's votes: the ballot with the highest order stands, whichever is written last (docs/adr/0018). */

/** The highest order that a client may give its vote. */
export const MAX_CLIENT_ORDER = 2 ** 52

/** So many stamps a vote gets at most: a new one each time another vote of the voter stands with a higher order. */
export const MAX_STAMPS = 3

/** The stamp after `last` when the wall clock is at `dateMs`, ms since 1970: it counts µs since 1970, but never less than `last` + 1. */
export function nextStamp(last: number, dateMs: number): number {
  return Math.max(last + 1, Math.floor(dateMs * 1_000))
}

/**
 * Returns a function that gives the next stamp: the order of a vote that came without one. The stamps of a process rise whatever its
 * wall clock does. `date` reads that clock, in ms since 1970.
 */
export function createStamps(date: () => number): () => number {
  let last = 0
  return () => (last = nextStamp(last, date()))
}
