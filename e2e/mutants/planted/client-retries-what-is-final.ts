import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A refusal for good is not tried again.',
  changes: [
    {
      file: 'gateway/web/client/transition.ts',
      find: 'event.code! >= 4400 && event.code! < 4500',
      replace: 'event.code! >= 4500 && event.code! < 4500',
    },
  ],
  tests: ['gateway/web/client/transition.test.ts'],
  isSimulated: true,
} satisfies Mutant
