import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A server that knows less than was shown does not turn the screen back.',
  changes: [
    {
      file: 'gateway/web/client/transition.ts',
      find: 'if (isNewer(frame, seen)) {',
      replace: 'if (frame) {',
    },
  ],
  tests: ['gateway/web/client/tally-client.test.ts'],
  isSimulated: true,
} satisfies Mutant
