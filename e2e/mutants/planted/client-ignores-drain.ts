import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A client moves when it is told that its server leaves.',
  changes: [
    {
      file: 'gateway/web/client/transition.ts',
      find: "else if (state === 'live') {",
      replace: "else if (state === 'live' && now < 0) {",
    },
  ],
  tests: ['gateway/web/client/transition.test.ts'],
  isSimulated: true,
} satisfies Mutant
