import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A tally misses nothing that commits out of order.',
  changes: [
    {
      file: 'backend/tallies/tally-reader.ts',
      find: 'return { text, xmax, running }',
      replace: "return { text, xmax, running: '' }",
    },
  ],
  tests: ['backend/tallies/tally-reader.test.ts'],
  isSimulated: true,
} satisfies Mutant
