import type { Mutant } from '../mutant.ts'

export default {
  promise: 'A ticket is good for one ballot.',
  changes: [
    {
      file: 'backend/http/cast-vote.ts',
      find: 'voter: ticketVoter(slug, ticket), renewal',
      replace: 'voter: ticketVoter(slug, `${ticket}${stamp()}`), renewal',
    },
    {
      file: 'backend/ballots/cast-batch.ts',
      find: 'WHERE t.poll_id = poll.id AND t.voter_id = v.voter)',
      replace: 'WHERE t.poll_id = poll.id)',
    },
  ],
  tests: ['e2e/admin-api.test.ts'],
  pattern: 'hands out tickets',
} satisfies Mutant
