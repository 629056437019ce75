import type { Mutant } from '../mutant.ts'

export default {
  promise: 'Every writer has a counter slot of its own.',
  changes: [
    {
      file: 'backend/ballots/batch-writer.ts',
      find: "const CLAIM_SLOT = claimSlot('pg_try_advisory_lock', false)",
      replace: "const CLAIM_SLOT = claimSlot('pg_try_advisory_xact_lock', false)",
    },
  ],
  tests: ['backend/ballots/ballot-box.test.ts'],
  pattern: 'slot of its own',
} satisfies Mutant
