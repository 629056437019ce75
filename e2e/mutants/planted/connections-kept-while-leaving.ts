import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A server that leaves says so with every answer, so that no request meets a closed connection.',
  changes: [
    {
      file: 'shared/lifecycle/http-drain.ts',
      find: 'isClosing = true',
      replace: '',
    },
  ],
  tests: ['e2e/leaving.test.ts'],
  pattern: 'is unready at once',
} satisfies Mutant
