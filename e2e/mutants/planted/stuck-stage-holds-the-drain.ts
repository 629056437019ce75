import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A stage that hangs does not hold up those after it.',
  changes: [
    {
      file: 'shared/lifecycle/drain.ts',
      find: 'const outcome = await Promise.race([work, timeout])',
      replace: 'const outcome = await Promise.race([work, work])\n  void timeout',
    },
  ],
  tests: ['shared/lifecycle/drain.test.ts'],
} satisfies Mutant
