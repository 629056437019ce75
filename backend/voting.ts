/** A vote, from what the voter sent to what the voter is told. */
import type { BallotBox, CastOutcome } from './ballot-box.ts'
import { Refused, unknownVoter, voteRefused } from './refusals.ts'
import { ticketVoter, type TicketStore } from './ticket-store.ts'
import type { VoterCookie, VoterOutcome } from './voter.ts'

/** By what a voter is known. */
export interface Credentials {
  /** A one-time ticket, in place of the cookie. */
  readonly ticket?: string | undefined
  /** The `Cookie` header. */
  readonly cookie?: string | undefined
  /** Whether the voter came over TLS. */
  readonly isSecure: boolean
}

export interface Voting {
  /** Who votes: whoever has the ticket, or else the browser that has the cookie. */
  identify(poll: string, credentials: Credentials): Promise<VoterOutcome | { readonly kind: 'no-ticket' }>
  /** Resolves once the ballot is committed. Throws `Refused` with what the voter is told otherwise, and what the ballot box throws. */
  cast(vote: { readonly poll: string; readonly option: string } & Credentials): Promise<{ poll: string; option: string }>
}

export interface VotingOptions {
  readonly ballotBox: BallotBox
  readonly tickets: TicketStore
  readonly voters: VoterCookie
  /** Called with how each vote ended. */
  readonly onVote?: (outcome: CastOutcome['kind']) => void
}

export function createVoting({ ballotBox, tickets, voters, onVote = () => {} }: VotingOptions): Voting {
  const identify: Voting['identify'] = async (poll, { ticket, cookie, isSecure }) => {
    if (ticket === undefined) return voters.read(cookie, isSecure)
    // a made-up ticket must not become a voter, whatever the poll's policy
    return (await tickets.isGood(poll, ticket)) ? { kind: 'known', voter: ticketVoter(poll, ticket) } : { kind: 'no-ticket' }
  }
  return {
    identify,
    async cast({ poll, option, ...credentials }) {
      const voter = await identify(poll, credentials)
      if (voter.kind === 'no-ticket') throw voteRefused({ kind: 'no-ticket' }, poll, option)
      if (voter.kind !== 'known') throw new Refused(unknownVoter(voter.kind, voters.issue(credentials.isSecure)))
      const outcome = await ballotBox.cast({ poll, voter: voter.voter, option })
      onVote(outcome.kind)
      if (outcome.kind !== 'accepted') throw voteRefused(outcome, poll, option)
      return { poll, option }
    },
  }
}
