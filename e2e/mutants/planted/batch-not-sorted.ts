import type { Mutant } from '../mutant.ts'

export default {
  promise: 'Batches of different replicas do not deadlock.',
  changes: [
    {
      file: 'backend/ballots/cast-batch.ts',
      find: 'FROM chosen c ORDER BY c.poll_id, c.voter',
      replace: 'FROM chosen c ORDER BY random()',
    },
  ],
  tests: ['backend/ballots/ballot-box.test.ts'],
  pattern: 'does not deadlock',
} satisfies Mutant
