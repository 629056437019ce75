import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A client of IPv6 does not get sockets for each of its addresses.',
  changes: [
    {
      file: 'gateway/gateway.ts',
      find: 'return { address: networkOf(address), isOriginAllowed: isOriginAllowed(request.headers, origin) }',
      replace: "return { address: networkOf('') + address, isOriginAllowed: isOriginAllowed(request.headers, origin) }",
    },
  ],
  tests: ['e2e/limits.test.ts'],
  pattern: 'so many sockets',
} satisfies Mutant
