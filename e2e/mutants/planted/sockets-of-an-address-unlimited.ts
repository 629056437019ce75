import type { Mutant } from '../mutant.ts'

export default {
  promise: 'One address does not take all places.',
  changes: [
    {
      file: 'gateway/access/places.ts',
      find: "if (fromThere >= maxPerAddress) return 'crowded'",
      replace: "if (fromThere >= maxPerAddress + max) return 'crowded'",
    },
  ],
  tests: ['gateway/access/connection-limits.test.ts'],
} satisfies Mutant
