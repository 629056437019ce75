import type { Mutant } from '../mutant.ts'

export default {
  promise: 'Balancers are told from the first moment of the drain.',
  changes: [
    {
      file: 'shared/lifecycle/probes.ts',
      find: "const ready = phase.current === 'ready' &&",
      replace: "const ready = phase.reached('ready') &&",
    },
  ],
  tests: ['shared/lifecycle/probes.test.ts'],
} satisfies Mutant
