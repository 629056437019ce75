import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A bundle has no more votes and bytes than a backend accepts.',
  changes: [
    {
      file: 'gateway/api/vote-bundler.ts',
      find: 'if (bytes + size > MAX_BYTES_IN_BUNDLE) send()',
      replace: '',
    },
    {
      file: 'gateway/api/vote-bundler.ts',
      find: 'if (pending.length === MAX_VOTES_IN_BUNDLE) send()',
      replace: '',
    },
  ],
  tests: ['gateway/api/vote-bundler.test.ts'],
} satisfies Mutant
