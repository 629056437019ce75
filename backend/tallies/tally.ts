/** Adds counters up and makes the frames of a poll. Pure. */
import type { PollOption, PollState, Snapshot } from '../../shared/protocol/frames.ts'
import { type Visibility, pollFrame, resultsVisible } from '../polls/poll.ts'
import type { PollSource } from '../database/schema.ts'

/** A poll's row, as the tally queries return it. */
export interface TalliedPoll {
  readonly id: number
  readonly slug: string
  readonly question: string
  readonly options: readonly PollOption[]
  readonly state: PollState
  readonly visibility: Visibility
  readonly opensAt: string | null
  readonly closesAt: string | null
  readonly epoch: number
  readonly revision: number
  readonly updatedAt: string
  /** The table of another program that is counted in place of ballots. */
  readonly source: PollSource | null
}

/** What was counted for an option, through one writer's slot or through several. */
export interface Count {
  readonly option: string
  readonly n: number
  readonly ver: number
  /** Milliseconds since the epoch. */
  readonly changedAt: number
}

/** One counter: an option through one writer's slot. */
export interface Counter extends Count {
  readonly slot: number
}

/** Sums over the slots, withdrawn options included. */
export function countsOf(counters: Iterable<Count>): Record<string, number> {
  const counts = new Map<string, number>()
  for (const { option, n } of counters) counts.set(option, (counts.get(option) ?? 0) + n)
  return Object.fromEntries(counts)
}

/**
 * The frames of one poll from rows of one database snapshot.
 *
 * The version is the sum of the counters' versions and the poll's own revision, each of which only rises, so that an edit (closing,
 * hiding the results) is a new version too, and the same version is always the same bytes. Votes for options the poll does not
 * offer (any more) are in neither the counts nor the total. `revealed` is for somebody who has voted.
 */
export function snapshotOf(poll: TalliedPoll, counters: Iterable<Count>, revealed = false): Snapshot {
  const counts = new Map(poll.options.map((option) => [option.id, 0]))
  let version = poll.revision
  let at = Date.parse(poll.updatedAt)
  for (const counter of counters) {
    version += counter.ver
    at = Math.max(at, counter.changedAt)
    const known = counts.get(counter.option)
    if (known !== undefined) counts.set(counter.option, known + counter.n)
  }
  const visible = resultsVisible(poll) || (revealed && poll.visibility === 'after-vote')
  return {
    poll: pollFrame({
      ...poll,
      opensAt: poll.opensAt === null ? null : new Date(poll.opensAt),
      closesAt: poll.closesAt === null ? null : new Date(poll.closesAt),
    }),
    tally: {
      type: 'tally',
      poll: poll.slug,
      epoch: poll.epoch,
      version,
      ...(visible ? { counts: Object.fromEntries(counts) } : {}),
      total: [...counts.values()].reduce((sum, n) => sum + n, 0),
      at: new Date(at).toISOString(),
    },
  }
}
