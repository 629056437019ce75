import type { Mutant } from '../mutant.ts'

export default {
  promise: "In a Redis Cluster a poll's key and its channel are in one slot.",
  changes: [
    {
      file: 'shared/bus/redis-bus.ts',
      find: '(isCluster ? `{${slug}}` : slug)',
      replace: '(isCluster ? slug : slug)',
    },
  ],
  tests: ['shared/bus/tally-bus.test.ts', 'shared/bus/redis-cluster.test.ts'],
} satisfies Mutant
