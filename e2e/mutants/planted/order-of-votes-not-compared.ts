import type { Mutant } from '../mutant.ts'

export default {
  promise: 'The vote with the highest order stands, whichever is written last.',
  changes: [
    {
      file: 'backend/ballots/cast-batch.ts',
      find: 'SELECT q.change_allowed AND excluded.vote_order > b.vote_order AS replaces',
      replace: 'SELECT q.change_allowed AS replaces',
    },
  ],
  tests: ['backend/ballots/ballot-box.test.ts'],
  pattern: 'highest order',
} satisfies Mutant
