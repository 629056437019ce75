import type { Mutant } from '../mutant.ts'

export default {
  promise: 'What may have been done, and is not idempotent, is not done again.',
  changes: [
    {
      file: 'gateway/api/backend-client.ts',
      find: 'return IDEMPOTENT.has(method) && BROKEN.has(code)',
      replace: 'return BROKEN.has(code)',
    },
  ],
  tests: ['gateway/api/backend-client.test.ts'],
} satisfies Mutant
