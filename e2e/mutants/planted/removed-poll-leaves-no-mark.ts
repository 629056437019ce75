import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A backend that has not heard of a removal cannot bring the poll back.',
  changes: [
    {
      file: 'shared/bus/redis-scripts.ts',
      find: "redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'version', '${Number.MAX_SAFE_INTEGER}')",
      replace: '',
    },
  ],
  tests: ['shared/bus/tally-bus.test.ts'],
} satisfies Mutant
