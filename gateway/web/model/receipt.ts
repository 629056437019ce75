import type { PollFrame } from '../../../shared/protocol/frames.ts'
import type { Messages } from '../messages/messages.ts'
import type { BallotState } from './ballot-sender.ts'

/** The ballot that the server has of this voter, as far as the page knows. */
export interface KnownBallot {
  readonly option: string
  /** The poll's epoch in which the server is known to have had it. */
  readonly epoch: number
}

/** All that the sentence about the voter's vote depends on. */
export interface VotePageState {
  readonly poll: PollFrame
  /** The newest that was heard of: it rises when counting begins anew, as after a reset. */
  readonly epoch: number
  readonly ballot: KnownBallot | undefined
  readonly state: BallotState
  /** The poll was deleted. */
  readonly isRemoved: boolean
  readonly changeAllowed: boolean
  /** The server has refused to change the ballot. */
  readonly isFinal: boolean
  readonly needsTicket: boolean
}

/** What the page says about the vote; `strong` is the emphasised part, before `rest`. */
export interface Receipt {
  readonly kind: 'none' | 'sending' | 'waiting' | 'counted' | 'refused' | 'checking' | 'withdrawn' | 'removed'
  readonly strong?: string
  readonly rest?: string
}

/**
 * Whether the ballot counts. `unsure`: counting has begun anew since the page heard of the ballot, which is gone after a reset and
 * still there after a failover. `withdrawn`: the poll has no such option any more.
 */
export function standingOf({ poll, epoch, ballot, isRemoved }: VotePageState): 'none' | 'counts' | 'unsure' | 'withdrawn' {
  if (ballot === undefined || isRemoved) return 'none'
  if (ballot.epoch < epoch) return 'unsure'
  return poll.options.some(({ id }) => id === ballot.option) ? 'counts' : 'withdrawn'
}

/** What the page says. `labelOf` gives an option's label, also of one that was withdrawn, or undefined where it is not known. */
export function receiptOf(page: VotePageState, vote: Messages['vote'], labelOf: (option: string) => string | undefined): Receipt {
  const { ballot, state, isFinal } = page
  if (page.isRemoved) return { kind: 'removed', strong: vote.removed }
  const nameOf = (option: string) => labelOf(option) ?? vote.withdrawnOption
  if (state.kind === 'sending') {
    const option = nameOf(state.option)
    if (state.crowdedForS !== undefined) return { kind: 'waiting', strong: vote.crowded(option, state.crowdedForS) }
    return state.isRetry ? { kind: 'waiting', strong: vote.retrying(option) } : { kind: 'sending', strong: vote.sending(option) }
  }
  if (state.kind === 'cookieless')
    return { kind: 'refused', strong: vote.cookieless(nameOf(state.option)), rest: vote.allowCookies }
  const standing = receiptOfBallot(page, vote, labelOf)
  if (state.kind === 'refused' && !(isFinal && ballot !== undefined))
    return { kind: 'refused', strong: vote.refused(state.title), rest: standing.strong ?? '' }
  return standing
}

/** What the page says of the ballot while no vote is under way. */
function receiptOfBallot(page: VotePageState, vote: Messages['vote'], labelOf: (option: string) => string | undefined): Receipt {
  const isOpen = page.poll.state === 'open'
  const mayChange = page.changeAllowed && !page.isFinal
  const option = page.ballot && labelOf(page.ballot.option)
  switch (standingOf(page)) {
    case 'none':
      return { kind: 'none', rest: !isOpen ? '' : page.needsTicket ? vote.needsTicket : vote.invite }
    case 'unsure':
      return { kind: 'checking', rest: vote.checking }
    case 'withdrawn':
      return {
        kind: 'withdrawn',
        strong: vote.withdrawn(option),
        rest: isOpen && mayChange ? `${vote.noLongerCounts} ${vote.another}` : vote.noLongerCounts,
      }
    case 'counts':
      return {
        kind: 'counted',
        strong: vote.counted(option ?? vote.withdrawnOption),
        rest: !isOpen ? '' : mayChange ? vote.change : vote.final,
      }
  }
}
