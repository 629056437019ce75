import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A signal in the first moments of a process ends it in order.',
  changes: [
    {
      file: 'shared/lifecycle/signals.ts',
      find: 'for (const [signal, hold] of holders) source.on(signal, hold)',
      replace: '',
    },
  ],
  tests: ['e2e/leaving.test.ts'],
  pattern: 'ends .* in order',
} satisfies Mutant
