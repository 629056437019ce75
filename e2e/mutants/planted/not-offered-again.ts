import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A bus that came back older is given the newest tallies again.',
  changes: [
    {
      file: 'backend/tallies/poller.ts',
      find: 'uncompared = store.known()',
      replace: '',
    },
  ],
  tests: ['backend/tallies/poller.test.ts'],
  isSimulated: true,
} satisfies Mutant
