import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A client that is refused again and again comes more and more rarely.',
  changes: [
    {
      file: 'gateway/web/client/transition.ts',
      find: 'backoffMs(model.attempt++, random',
      replace: 'backoffMs(model.attempt, random',
    },
  ],
  tests: ['gateway/web/client/transition.test.ts'],
  isSimulated: true,
} satisfies Mutant
