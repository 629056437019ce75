/** A poll: its definition, its rules, and the frame that everyone may see. */
import type { PollFrame, PollOption, PollState } from '../../shared/protocol/frames.ts'
import type { PollSource } from '../database/schema.ts'

export type Visibility = 'live' | 'after-vote' | 'after-close'
export type Policy = 'cookie' | 'ticket'

export interface Poll {
  readonly id: number
  /** Its name in URLs and on the bus; it never changes. */
  readonly slug: string
  readonly question: string
  readonly options: readonly PollOption[]
  readonly state: PollState
  readonly opensAt: Date | null
  readonly closesAt: Date | null
  /** Whether a voter may change the ballot. */
  readonly changeAllowed: boolean
  readonly visibility: Visibility
  readonly policy: Policy
  /** The table of another program that it counts in place of ballots, if any. */
  readonly source: PollSource | null
  readonly epoch: number
  readonly revision: number
  readonly createdAt: Date
  readonly updatedAt: Date
}

/** The part of a poll that everyone may see, and its place among the definitions of this poll, which its row carries. */
export function pollFrame(
  poll: Pick<Poll, 'slug' | 'question' | 'options' | 'state' | 'visibility' | 'opensAt' | 'closesAt' | 'epoch' | 'revision'>,
): PollFrame {
  return {
    type: 'poll',
    poll: poll.slug,
    question: poll.question,
    // rebuilt with the fields in a fixed order, so that the same poll is always the same bytes
    options: poll.options.map(({ id, label, color }) => (color === undefined ? { id, label } : { id, label, color })),
    state: poll.state,
    resultsVisible: resultsVisible(poll),
    opensAt: poll.opensAt?.toISOString() ?? null,
    closesAt: poll.closesAt?.toISOString() ?? null,
    epoch: poll.epoch,
    version: poll.revision,
  }
}

/** Whether everyone may see the counts. With `after-vote`, those who have voted see them before that. */
export function resultsVisible(poll: { readonly visibility: Visibility; readonly state: PollState }): boolean {
  return poll.visibility === 'live' || poll.state === 'closed'
}
