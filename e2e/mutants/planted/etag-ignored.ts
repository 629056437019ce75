import type { Mutant } from '../mutant.ts'

export default {
  promise: 'Who has a list or a history already is not sent it again.',
  changes: [
    {
      file: 'backend/http/entity-tag.ts',
      find: 'if (field === undefined) return false',
      replace: "if (field !== '') return false",
    },
  ],
  tests: ['e2e/reads.test.ts'],
} satisfies Mutant
