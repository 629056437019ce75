import type { Mutant } from '../mutant.ts'

export default {
  promise: 'N replicas publish each version once.',
  changes: [
    {
      file: 'shared/bus/redis-scripts.ts',
      find: 'version <= keptVersion',
      replace: 'version < keptVersion',
    },
  ],
  tests: ['shared/bus/tally-bus.test.ts'],
} satisfies Mutant
