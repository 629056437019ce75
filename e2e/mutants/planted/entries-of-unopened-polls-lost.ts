import type { Mutant } from '../mutant.ts'

export default {
  promise: 'Votes of a list wait for their poll to open.',
  changes: [
    {
      file: 'backend/ingest/ingest.ts',
      find: 'if (round.waiting > 0) return\n',
      replace: '',
    },
  ],
  tests: ['backend/ingest/ingest.test.ts'],
} satisfies Mutant
