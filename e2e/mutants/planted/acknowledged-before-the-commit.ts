import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A vote that was acknowledged stands.',
  changes: [
    {
      file: 'backend/ballots/batch-writer.ts',
      find: 'const outcomes = await castBatch(session, batch)',
      replace: 'const outcomes: CastOutcome[] = []\n        void castBatch(session, batch).catch(() => {})',
    },
  ],
  tests: ['backend/ballots/ballot-box.test.ts'],
  pattern: 'never acknowledges',
  isSimulated: true,
} satisfies Mutant
