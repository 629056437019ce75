import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A client that moves leaves the old socket when the new one is live.',
  changes: [
    {
      file: 'gateway/web/client/transition.ts',
      find: 'model.attempt = 0\n        dialIn(',
      replace: "model.attempt = 0\n        effects.drop.push('feed')\n        dialIn(",
    },
  ],
  tests: ['gateway/web/client/tally-client.test.ts', 'gateway/web/client/transition.test.ts'],
  isSimulated: true,
} satisfies Mutant
