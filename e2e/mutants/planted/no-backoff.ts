import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A crowd that lost its server does not come back all at once.',
  changes: [
    {
      file: 'shared/protocol/backoff.ts',
      find: 'return random() * ceilingMs',
      replace: 'return random() * ceilingMs * 0',
    },
  ],
  tests: ['shared/protocol/backoff.test.ts'],
} satisfies Mutant
