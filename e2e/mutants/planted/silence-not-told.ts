import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A screen is told for how long the source has been silent.',
  changes: [
    {
      file: 'gateway/fanout/hub.ts',
      find: 'silentMs: isSilent ? Math.round(ageMs) : 0',
      replace: 'silentMs: 0',
    },
  ],
  tests: ['gateway/fanout/hub.test.ts'],
  isSimulated: true,
} satisfies Mutant
