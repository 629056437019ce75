import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A vote without an order that a backend held back stays below a later one.',
  changes: [
    {
      file: 'backend/http/cast-vote.ts',
      find: "if (outcome.kind !== 'superseded' || outcome.ballot.order < stamp()) break",
      replace: "if (outcome.kind !== 'superseded') break",
    },
  ],
  tests: ['backend/http/cast-vote.test.ts'],
} satisfies Mutant
