import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A client of IPv6 does not get a quota for each of its addresses.',
  changes: [
    {
      file: 'gateway/access/request-limits.ts',
      find: 'consume(networkOf(address))',
      replace: 'consume(address)',
    },
  ],
  tests: ['gateway/access/request-limits.test.ts'],
} satisfies Mutant
