import type { Mutant } from '../mutant.ts'

export default {
  promise: 'Results that are held back are shown to nobody.',
  changes: [
    {
      file: 'backend/tallies/tally.ts',
      find: "const visible = resultsVisible(poll) || (revealed && poll.visibility === 'after-vote')",
      replace: "const visible = resultsVisible(poll) || (revealed !== undefined && poll.slug !== '')",
    },
  ],
  tests: ['backend/tallies/tally-reader.test.ts'],
} satisfies Mutant
