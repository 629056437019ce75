import type { Mutant } from '../mutant.ts'

export default {
  promise: 'What the bus lost on the way to a gateway is shown within a second.',
  changes: [
    {
      file: 'gateway/fanout/tally-feed.ts',
      find: 'const kept = await read([...followed.keys()])',
      replace: 'const kept = await bus.latest([...followed.keys()])',
    },
  ],
  tests: ['gateway/fanout/tally-feed.test.ts'],
  isSimulated: true,
} satisfies Mutant
