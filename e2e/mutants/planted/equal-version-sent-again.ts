import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A version is sent once, however many replicas publish it.',
  changes: [
    {
      file: 'shared/protocol/order.ts',
      find: 'candidate.version! > version',
      replace: 'candidate.version! >= version',
    },
  ],
  tests: ['shared/protocol/order.test.ts', 'gateway/fanout/hub.test.ts'],
  isSimulated: true,
} satisfies Mutant
