import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A socket that could not keep up gets the newest tally when it can again.',
  changes: [
    {
      file: 'gateway/fanout/connection.ts',
      find: 'this.#host.drained(this)',
      replace: '',
    },
  ],
  tests: ['gateway/fanout/hub.test.ts'],
  isSimulated: true,
} satisfies Mutant
