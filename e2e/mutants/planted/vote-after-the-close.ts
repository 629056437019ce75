import type { Mutant } from '../mutant.ts'

export default {
  promise: 'No vote is accepted after a close has committed.',
  changes: [
    {
      file: 'backend/ballots/cast-batch.ts',
      find: 'WHERE p.slug = ANY ($1::text[]) ORDER BY p.id FOR SHARE',
      replace: 'WHERE p.slug = ANY ($1::text[]) ORDER BY p.id',
    },
  ],
  tests: ['backend/ballots/ballot-box.test.ts'],
  pattern: 'a close',
} satisfies Mutant
