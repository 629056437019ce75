import type { Mutant } from '../mutant.ts'

export default {
  promise: 'After a reset, a later epoch wins whatever its version.',
  changes: [
    {
      file: 'shared/protocol/order.ts',
      find: 'return candidate.epoch === epoch ? candidate.version! > version : candidate.epoch! > epoch',
      replace: 'return candidate.version! > (epoch < 0 ? -1 : version)',
    },
  ],
  tests: ['shared/protocol/order.test.ts', 'gateway/fanout/hub.test.ts'],
  isSimulated: true,
} satisfies Mutant
