/** Casts votes that came over HTTP or in a bundle: identifies the voter, asks the ballot box, and makes the answer. */
import { HTTPException } from 'hono/http-exception'
import type { BundledAnswer, BundledVote } from '../../shared/protocol/vote-bundle.ts'
import { MAX_STAMPS } from '../../shared/protocol/vote-order.ts'
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
  /**
   * Resolves once the ballot is committed. Throws the problem to answer with, or what the ballot box throws. A vote without an order
   * gets one here; if a higher one stands already, a higher one than that. No vote is cast once `isAwaited` says that nobody waits for
   * the answer any more.
   */
  cast(vote: OrderedVote & Credentials & { readonly isAwaited?: (() => boolean) | undefined }): Promise<{
    readonly receipt: Receipt
    /** As in {@link VoterOutcome}. */
    readonly renewal: string | undefined
  }>
  /** Casts every vote of a bundle and answers each as if it had come alone. Never rejects: one vote's error is its own answer. */
  castAll(votes: readonly BundledVote[], isAwaited?: () => boolean): Promise<BundledAnswer[]>
}

interface OrderedVote {
  readonly slug: string
  readonly option: string
  /** From the client or the gateway. */
  readonly order?: number | undefined
}

interface Receipt {
  readonly poll: string
  readonly option: string
  readonly order: number
}

export interface VoteCasterOptions {
  readonly ballotBox: BallotBox
  readonly tickets: TicketStore
  readonly voters: VoterCookie
  /** Gives a vote that comes without an order its own. */
  readonly stamp: () => number
  readonly log: Log
  /** Called with the outcome of each vote. */
  readonly onVote?: (outcome: CastOutcome['kind']) => void
}

export function createVoteCaster({ ballotBox, tickets, voters, stamp, log, onVote = () => {} }: VoteCasterOptions): VoteCaster {
  const identify: VoteCaster['identify'] = async (slug, { ticket, cookie, isSecure }) => {
    if (ticket === undefined) return voters.read(cookie, isSecure)
    // a ticket that was not issued must not become a voter, whatever the poll's policy
    return (await tickets.isGood(slug, ticket))
      ? { kind: 'known', voter: ticketVoter(slug, ticket), renewal: undefined }
      : { kind: 'no-ticket' }
  }

  const settle = async ({
    slug,
    option,
    order: given,
    isAwaited = () => true,
    ...credentials
  }: Parameters<VoteCaster['cast']>[0]) => {
    // taken at once: it may take a while to find out who the voter is, and votes that come meanwhile are later
    let order = given ?? stamp()
    const voter = await identify(slug, credentials)
    if (voter.kind === 'no-ticket') throw voteRefused({ kind: 'no-ticket' }, slug, option)
    if (voter.kind !== 'known') throw unknownVoter(voter.kind, voters.issue(credentials.isSecure))
    let outcome = await ballotBox.cast({ slug, voter: voter.voter, option, order, isAwaited })
    for (let tries = 1; given === undefined && tries < MAX_STAMPS && isAwaited(); tries++) {
      // an order that is not of the future is that of a vote which came while this one waited
      if (outcome.kind !== 'superseded' || outcome.ballot.order < stamp()) break
      order = outcome.ballot.order + 1
      outcome = await ballotBox.cast({ slug, voter: voter.voter, option, order, isAwaited })
    }
    onVote(outcome.kind)
    // a receipt names the ballot that stands, above whose order the next vote has to be
    const standing = outcome.kind === 'accepted' ? (outcome.order ?? order) : order
    return { outcome, receipt: { poll: slug, option, order: standing }, renewal: voter.renewal }
  }

  const cast: VoteCaster['cast'] = async (vote) => {
    const { outcome, receipt, renewal } = await settle(vote)
    if (outcome.kind !== 'accepted') throw voteRefused(outcome, vote.slug, vote.option)
    return { receipt, renewal }
  }

  const castBundled = async (
    { poll: slug, body, requestId, stamp: arrival, ...credentials }: BundledVote,
    isAwaited: (() => boolean) | undefined,
  ): Promise<BundledAnswer> => {
    let standing: number | undefined
    try {
      const { option, order } = voteIn(body)
      const { outcome, receipt, renewal } = await settle({ slug, option, order: order ?? arrival, isAwaited, ...credentials })
      if (outcome.kind === 'superseded' && order === undefined) standing = outcome.ballot.order
      if (outcome.kind !== 'accepted') throw voteRefused(outcome, slug, option)
      const headers = { 'content-type': 'application/json', ...(renewal === undefined ? {} : { 'set-cookie': renewal }) }
      return { status: 200, headers, body: JSON.stringify(receipt) }
    } catch (error) {
      const answer = answerToError(error, log, { requestId, method: 'PUT', path: `/api/polls/${slug}/vote` })
      const told = { status: answer.status, headers: Object.fromEntries(answer.headers), body: await answer.text() }
      return standing === undefined ? told : { ...told, standing }
    }
  }

  return {
    identify,
    cast,
    castAll: async (votes, isAwaited) => await Promise.all(votes.map((vote) => castBundled(vote, isAwaited))),
  }
}

/** The option and the order in the body of a vote. Throws as the validator of the public route does. */
function voteIn(body: string): Pick<OrderedVote, 'option' | 'order'> {
  const vote = VoteBody.safeParse(parsed(body))
  if (!vote.success) throw problemException(badBody(vote.error.issues))
  return vote.data
}

function parsed(body: string): unknown {
  try {
    return JSON.parse(body)
  } catch {
    throw new HTTPException(400, { message: 'Malformed JSON in request body' })
  }
}
