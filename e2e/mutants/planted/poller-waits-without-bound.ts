import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A bus that hangs does not stop the tallies for good.',
  changes: [
    {
      file: 'backend/tallies/poller.ts',
      find: "return within(ANSWER_MS, 'the bus has not answered', work)",
      replace: 'return work',
    },
  ],
  tests: ['backend/tallies/poller.test.ts'],
  isSimulated: true,
} satisfies Mutant
