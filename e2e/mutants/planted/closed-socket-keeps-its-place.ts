import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A socket that has closed gives its place back to its address.',
  changes: [
    {
      file: 'gateway/handshake/upgrade.ts',
      find: 'admission.leave(connection.address)',
      replace: '',
    },
  ],
  tests: ['e2e/limits.test.ts'],
  pattern: 'so many sockets',
} satisfies Mutant
