/** The place of a tally, or of a definition, in its poll's history. Tallies are compared with tallies, definitions with definitions. */
export interface Versioned {
  readonly epoch: number
  readonly version: number
}

/** What may have no place: the definition of a server that gives it none. */
export interface MaybeVersioned {
  readonly epoch?: number | undefined
  readonly version?: number | undefined
}

/**
 * Whether `candidate` comes after `known`: a later epoch wins, then a higher version. A candidate with a place
 * is newer than nothing, and than what has none; one without is never newer.
 */
export function isNewer(candidate: MaybeVersioned, known: MaybeVersioned | undefined): boolean {
  const { epoch = -1, version = -1 } = known ?? {}
  return candidate.epoch === epoch ? candidate.version! > version : candidate.epoch! > epoch
}
