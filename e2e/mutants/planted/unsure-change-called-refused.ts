import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A change that may have been made is not called refused.',
  changes: [
    {
      file: 'gateway/api/backend-client.ts',
      find: 'if (!course.mayBeDone || !(answer instanceof Response) || answer.status !== 503) return answer',
      replace: 'if (!(answer instanceof Response) || answer.status !== 599) return answer',
    },
  ],
  tests: ['gateway/api/backend-client.test.ts'],
} satisfies Mutant
