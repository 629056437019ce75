import type { Mutant } from '../mutant.ts'

export default {
  promise: 'The page does not say that a vote counts which a reset may have removed.',
  changes: [
    {
      file: 'gateway/web/model/receipt.ts',
      find: "if (ballot.epoch < epoch) return 'unsure'",
      replace: '',
    },
  ],
  tests: ['gateway/web/model/receipt.test.ts'],
} satisfies Mutant
