import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A vote that may stand is not called refused.',
  changes: [
    {
      file: 'gateway/api/backend-client.ts',
      find: '(!isCertain(answer) && unsure) || answer',
      replace: 'unsure === undefined ? answer : answer',
    },
  ],
  tests: ['gateway/api/backend-client.test.ts'],
} satisfies Mutant
