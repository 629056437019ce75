import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A flood of pings is closed.',
  changes: [
    {
      file: 'gateway/fanout/connection.ts',
      find: 'if (this.#controls <= MAX_CONTROLS) return true',
      replace: 'if (this.#controls > 0) return true',
    },
  ],
  tests: ['gateway/fanout/connection.test.ts'],
} satisfies Mutant
