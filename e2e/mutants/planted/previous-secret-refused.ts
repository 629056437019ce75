import type { Mutant } from '../mutant.ts'

export default {
  promise: 'Nobody loses their ballot when a secret is replaced.',
  changes: [
    {
      file: 'backend/http/voter-cookie.ts',
      find: 'const isOlder = previousSecrets.some((previous) =>',
      replace: 'const isOlder = previousSecrets.slice(1).some((previous) =>',
    },
  ],
  tests: ['backend/http/voter-cookie.test.ts'],
} satisfies Mutant
