/** Casts votes that came over HTTP or in a bundle: identifies the voter, asks the ballot box, and makes the answer. */
import { HTTPException } from 'hono/http-exception'
import type { BundledAnswer, BundledVote } from '../../shared/protocol/vote-bundle.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import type { BallotBox } from '../ballots/ballot-box.ts'
import type { CastOutcome } from '../ballots/cast-outcome.ts'
import { ticketVoter, type TicketStore } from '../polls/ticket-store.ts'
import { answerToError } from './error-handler.ts'
import { badBody, problemException, unknownVoter, voteRefused } from './problems.ts'
import { VoteBody } from './schemas.ts'
import type { VoterCookie, VoterOutcome } from './voter-cookie.ts'

/** What identifies a voter. */
export interface Credentials {
  /** A one-time ticket, in place of the cookie. */
  readonly ticket?: string | undefined
  /** The `Cookie` header. */
  readonly cookie?: string | undefined
  /** Whether the voter came over TLS. */
  readonly isSecure: boolean
}

export interface VoteCaster {
  /** Says who votes: the holder of the ticket, or else the browser that has the cookie. */
  identify(slug: string, credentials: Credentials): Promise<VoterOutcome | { readonly kind: 'no-ticket' }>
  /** Resolves once the ballot is committed. Throws the problem to answer with, or what the ballot box throws. */
  cast(vote: { readonly slug: string; readonly option: string } & Credentials): Promise<{ poll: string; option: string }>
  /** Casts every vote of a bundle and answers each as if it had come alone. Never rejects: one vote's error is its own answer. */
  castAll(votes: readonly BundledVote[]): Promise<BundledAnswer[]>
}

export interface VoteCasterOptions {
  readonly ballotBox: BallotBox
  readonly tickets: TicketStore
  readonly voters: VoterCookie
  readonly log: Log
  /** Called with the outcome of each vote. */
  readonly onVote?: (outcome: CastOutcome['kind']) => void
}

export function createVoteCaster({ ballotBox, tickets, voters, log, onVote = () => {} }: VoteCasterOptions): VoteCaster {
  const identify: VoteCaster['identify'] = async (slug, { ticket, cookie, isSecure }) => {
    if (ticket === undefined) return voters.read(cookie, isSecure)
    // a ticket that was not issued must not become a voter, whatever the poll's policy
    return (await tickets.isGood(slug, ticket)) ? { kind: 'known', voter: ticketVoter(slug, ticket) } : { kind: 'no-ticket' }
  }

  const cast: VoteCaster['cast'] = async ({ slug, option, ...credentials }) => {
    const voter = await identify(slug, credentials)
    if (voter.kind === 'no-ticket') throw voteRefused({ kind: 'no-ticket' }, slug, option)
    if (voter.kind !== 'known') throw unknownVoter(voter.kind, voters.issue(credentials.isSecure))
    const outcome = await ballotBox.cast({ slug, voter: voter.voter, option })
    onVote(outcome.kind)
    if (outcome.kind !== 'accepted') throw voteRefused(outcome, slug, option)
    return { poll: slug, option }
  }

  const castBundled = async ({ poll: slug, body, requestId, ...credentials }: BundledVote): Promise<BundledAnswer> => {
    try {
      const receipt = await cast({ slug, option: optionIn(body), ...credentials })
      return { status: 200, headers: { 'content-type': 'application/json' }, body: JSON.stringify(receipt) }
    } catch (error) {
      const answer = answerToError(error, log, { requestId, method: 'PUT', path: `/api/polls/${slug}/vote` })
      return { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() }
    }
  }

  return { identify, cast, castAll: async (votes) => await Promise.all(votes.map(castBundled)) }
}

/** The option in the body of a vote. Throws as the validator of the public route does. */
function optionIn(body: string): string {
  const vote = VoteBody.safeParse(parsed(body))
  if (!vote.success) throw problemException(badBody(vote.error.issues))
  return vote.data.option
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    throw new HTTPException(400, { message: 'Malformed JSON in request body' })
  }
}
