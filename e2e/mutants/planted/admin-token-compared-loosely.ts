import type { Mutant } from '../mutant.ts'

export default {
  promise: 'Only a whole admin token makes an organiser.',
  changes: [
    {
      file: 'backend/http/admin-api.ts',
      find: 'return good.filter((one) => timingSafeEqual(one, digest)).length > 0',
      replace: 'return good.some((one) => timingSafeEqual(one, digest)) || tokens.some((one) => one.startsWith(token))',
    },
  ],
  tests: ['e2e/bad-input.test.ts'],
  pattern: 'admin token',
} satisfies Mutant
