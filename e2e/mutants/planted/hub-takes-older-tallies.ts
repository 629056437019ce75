import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A screen never goes back to an older tally.',
  changes: [
    {
      file: 'gateway/fanout/hub.ts',
      find: 'if (!isNewer(snapshot.tally, topic.snapshot?.tally)) return',
      replace: '',
    },
  ],
  tests: ['gateway/fanout/hub.test.ts'],
  isSimulated: true,
} satisfies Mutant
