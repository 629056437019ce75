import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A screen whose source is silent says so.',
  changes: [
    {
      file: 'gateway/fanout/hub.ts',
      find: 'isSilent = ageMs > SILENT_AFTER_MS ||',
      replace: 'isSilent = ageMs > 1e9 ||',
    },
  ],
  tests: ['gateway/fanout/hub.test.ts'],
  isSimulated: true,
} satisfies Mutant
