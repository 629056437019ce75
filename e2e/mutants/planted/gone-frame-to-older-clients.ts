import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A client of livetally.v1 gets no frame that it does not know.',
  changes: [
    {
      file: 'gateway/fanout/hub.ts',
      find: 'if (connection.protocol === SUBPROTOCOL_GONE && left.length > 0) {',
      replace: 'if (left.length > 0) {',
    },
  ],
  tests: ['gateway/fanout/hub.test.ts'],
} satisfies Mutant
