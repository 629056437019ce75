import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A client behind trusted proxies cannot name itself.',
  changes: [
    {
      file: 'gateway/access/client-address.ts',
      find: 'left.splice(proxy, 1)',
      replace: '',
    },
  ],
  tests: ['gateway/access/client-address.test.ts'],
} satisfies Mutant
