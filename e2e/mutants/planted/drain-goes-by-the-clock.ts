import type { Mutant } from '../mutant.ts'

export default {
  promise: 'The goodbye goes on as fast as clients leave, not by the clock.',
  changes: [
    {
      file: 'shared/lifecycle/pace.ts',
      find: 'return underWay < window && (dueMs[asked] ?? 0) <= elapsedMs',
      replace: 'return (dueMs[asked] ?? 0) <= elapsedMs',
    },
  ],
  tests: ['shared/lifecycle/pace.test.ts'],
  isSimulated: true,
} satisfies Mutant
