import type { Mutant } from '../mutant.ts'

export default {
  promise: 'Entries of a list keep their order when Redis loses the last one.',
  changes: [
    {
      file: 'backend/ingest/vote-list.ts',
      find: "local order = math.max(tonumber(redis.call('GET', KEYS[5]) or 0), time[1] * 1000000 + time[2])",
      replace: "local order = tonumber(redis.call('GET', KEYS[5]) or 0)",
    },
  ],
  tests: ['backend/ingest/ingest.test.ts'],
} satisfies Mutant
