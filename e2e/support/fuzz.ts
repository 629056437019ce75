/** How many cases a fuzz test tries: few in `npm test`, many with `npm run fuzz`. */
/** Multiplies the number of cases; `npm run fuzz` sets it. */
export const TIMES_VARIABLE = 'LIVETALLY_FUZZ_TIMES'
/** Repeats the cases of an earlier run, whose report named its seed. */
export const SEED_VARIABLE = 'LIVETALLY_FUZZ_SEED'

/** The parameters of a property of fast-check that is tried so many times in `npm test`. */
export function fuzz(numRuns: number) {
  const { [TIMES_VARIABLE]: times = '1', [SEED_VARIABLE]: seed } = process.env
  return { numRuns: numRuns * Number(times), ...(seed === undefined ? {} : { seed: Number(seed) }) }
}
