import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A client is told before its socket is closed.',
  changes: [
    {
      file: 'gateway/fanout/socket-drain.ts',
      find: 'if (connection !== undefined && staying.has(connection)) announce(connection)',
      replace: 'if (connection !== undefined && staying.has(connection)) close(connection)',
    },
  ],
  tests: ['gateway/fanout/socket-drain.test.ts'],
  isSimulated: true,
} satisfies Mutant
