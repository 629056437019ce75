import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A poll that is gone ends alone.',
  changes: [
    {
      file: 'gateway/fanout/hub.ts',
      find: 'if (connection.protocol === SUBPROTOCOL_GONE && left.length > 0) {',
      replace: 'if (left.length > 16) {',
    },
  ],
  tests: ['gateway/fanout/hub.test.ts'],
  isSimulated: true,
} satisfies Mutant
