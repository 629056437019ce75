import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A ticket is good in its own poll alone.',
  changes: [
    {
      file: 'backend/polls/ticket-store.ts',
      find: "return hashedUuid('livetally ticket', slug, ticket)",
      replace: "return hashedUuid('livetally ticket', slug && ticket)",
    },
    {
      file: 'backend/polls/ticket-store.ts',
      find: 'ON t.poll_id = p.id AND t.voter_id = asked.voter',
      replace: 'ON t.voter_id = asked.voter',
    },
  ],
  tests: ['backend/polls/ticket-store.test.ts'],
} satisfies Mutant
