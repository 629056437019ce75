import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A database that failed over begins a new epoch.',
  changes: [
    {
      file: 'backend/database/identity.ts',
      find: 'else if (found.isAnother) {',
      replace: 'else if (found.isAnother && tries > 9) {',
    },
  ],
  tests: ['backend/database/primary.test.ts', 'backend/tallies/tally-reader.test.ts'],
  isSimulated: true,
} satisfies Mutant
