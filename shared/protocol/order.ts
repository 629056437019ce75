/** The place of a tally in its poll's history. */
export interface Versioned {
  readonly epoch: number
  readonly version: number
}

/** Whether `candidate` comes after `known`: a later epoch wins, then a higher version. Anything is newer than nothing. */
export function isNewer(candidate: Versioned, known: Versioned | undefined): boolean {
  if (known === undefined) return true
  if (candidate.epoch !== known.epoch) return candidate.epoch > known.epoch
  return candidate.version > known.version
}
