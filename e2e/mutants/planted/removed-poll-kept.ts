import type { Mutant } from '../mutant.ts'

export default {
  promise: 'The bus forgets a poll that was removed.',
  changes: [
    {
      file: 'backend/tallies/poller.ts',
      find: 'removed.set(slug, Math.max(epoch, removed.get(slug) ?? 0))',
      replace: '',
    },
  ],
  tests: ['backend/tallies/poller.test.ts'],
  isSimulated: true,
} satisfies Mutant
