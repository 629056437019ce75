import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A gateway whose connection to Redis was cut hears its polls again.',
  changes: [
    {
      file: 'shared/bus/redis-node.ts',
      find: "this.#subscriber.on('ready', () => void this.subscribeAgain())",
      replace: '',
    },
  ],
  tests: ['shared/bus/redis-faults.test.ts'],
  isSimulated: true,
} satisfies Mutant
