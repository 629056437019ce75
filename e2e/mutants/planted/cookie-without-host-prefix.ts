import type { Mutant } from '../mutant.ts'

export default {
  promise: 'No sibling domain can overwrite the voter cookie.',
  changes: [
    {
      file: 'shared/protocol/vote-bundle.ts',
      find: "return isSecure ? '__Host-voter' : 'voter'",
      replace: "return isSecure ? 'voter' : 'voter'",
    },
  ],
  tests: ['backend/http/voter-cookie.test.ts', 'gateway/http/api-route.test.ts'],
} satisfies Mutant
