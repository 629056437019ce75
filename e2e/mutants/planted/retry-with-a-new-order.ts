import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A choice keeps its order over all tries.',
  changes: [
    {
      file: 'gateway/web/model/ballot-sender.ts',
      find: '      tries++\n',
      replace: '      tries++\n      if (wanted === vote) wantNext(vote.option)\n',
    },
  ],
  tests: ['gateway/web/model/ballot-sender.test.ts', 'gateway/web/model/ballot-sender.property.test.ts'],
  isSimulated: true,
} satisfies Mutant
