import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A vote that nobody awaits any more is not cast.',
  changes: [
    {
      file: 'backend/ballots/ballot-box.ts',
      find: "if (!vote.isAwaited()) vote.resolve({ kind: 'abandoned' })\n        else if (voters",
      replace: 'if (voters',
    },
  ],
  tests: ['backend/ballots/ballot-box.test.ts'],
  pattern: 'nobody awaits',
  isSimulated: true,
} satisfies Mutant
