import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A vote that waited while a later one was stamped stays below it.',
  changes: [
    {
      file: 'gateway/api/stamp-votes.ts',
      find: 'if (answer.standing === undefined || answer.standing < stamp()) break',
      replace: 'if (answer.standing === undefined) break',
    },
  ],
  tests: ['gateway/api/stamp-votes.test.ts'],
  isSimulated: true,
} satisfies Mutant
