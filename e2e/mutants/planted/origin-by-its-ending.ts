import type { Mutant } from '../mutant.ts'

export default {
  promise: 'Only pages of the very origins that are allowed may vote.',
  changes: [
    {
      file: 'gateway/access/allowed-origins.ts',
      find: 'return origin === self || allowed.has(origin)',
      replace: "return origin === self || [...allowed].some((one) => origin.endsWith(one.replace(/^https?:../, '')))",
    },
  ],
  tests: ['gateway/access/allowed-origins.test.ts'],
} satisfies Mutant
