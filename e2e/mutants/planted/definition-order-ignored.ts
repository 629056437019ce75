import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A definition does not go back to an earlier edit.',
  changes: [
    {
      file: 'gateway/web/client/transition.ts',
      find: 'frame.version === undefined ? JSON.stringify(frame) !== JSON.stringify(known) : isNewer(frame, known)',
      replace: 'JSON.stringify(frame) !== JSON.stringify(known)',
    },
  ],
  tests: ['gateway/web/client/transition.test.ts', 'gateway/web/client/tally-client.test.ts'],
  isSimulated: true,
} satisfies Mutant
