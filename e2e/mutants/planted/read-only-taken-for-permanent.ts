import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A server that takes no writes at present is left for another, and votes are refused for the moment only.',
  changes: [
    {
      file: 'backend/database/errors.ts',
      find: '/^(08|25006|40|53|57|55P03)/',
      replace: '/^(08|40|53|57|55P03)/',
    },
    {
      file: 'backend/database/errors.ts',
      find: 'return error instanceof DatabaseUnavailable || sqlState(error) === READ_ONLY',
      replace: 'return error instanceof DatabaseUnavailable',
    },
  ],
  tests: ['backend/ballots/ballot-box.test.ts', 'e2e/failover/postgres-primary.test.ts'],
  pattern: 'that nothing was written|becomes read-only',
} satisfies Mutant
