import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A reader that is too slow costs one message of memory, not all that it missed.',
  changes: [
    {
      file: 'gateway/fanout/connection.ts',
      find: 'if (this.#isBlocked || this.#socket.readyState !== 1) return NOT_NOW',
      replace: 'if (this.#socket.readyState !== 1) return NOT_NOW\n    if (this.#isBlocked) return THROUGH_STREAM',
    },
  ],
  tests: ['gateway/fanout/hub.test.ts'],
  isSimulated: true,
} satisfies Mutant
