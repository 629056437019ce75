import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A promotion is noticed at once, not with the next checkpoint.',
  changes: [
    {
      file: 'backend/database/identity.ts',
      find: "('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer",
      replace: '(SELECT timeline_id FROM pg_control_checkpoint())',
    },
  ],
  tests: ['e2e/failover/postgres-primary.test.ts'],
  pattern: 'is another database at once',
} satisfies Mutant
