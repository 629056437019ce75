/** Reads poll views: definition, tally, one voter's ballot, and the rules, as the API shows them. */
import type { Snapshot } from '../../shared/protocol/frames.ts'
import type { Policy, Visibility } from '../polls/poll.ts'
import type { PollStore } from '../polls/poll-store.ts'
import type { TallyReader } from '../tallies/tally-reader.ts'

export interface PollView extends Snapshot {
  readonly ballot: { readonly option: string } | null
  readonly settings: { readonly changeAllowed: boolean; readonly visibility: Visibility; readonly policy: Policy }
}

export interface PollViews {
  /** The poll as a voter may see it whose ballot is `ballot`, or who has none; undefined if there is no such poll. */
  read(slug: string, ballot?: string): Promise<PollView | undefined>
}

export function createPollViews(options: { readonly polls: PollStore; readonly tallies: TallyReader }): PollViews {
  return {
    async read(slug, ballot) {
      const [snapshot, poll] = await Promise.all([
        options.tallies.read(slug, { revealed: ballot !== undefined }),
        options.polls.get(slug),
      ])
      if (snapshot === undefined || poll === undefined) return undefined
      const { changeAllowed, visibility, policy } = poll
      return {
        ...snapshot,
        ballot: ballot === undefined ? null : { option: ballot },
        settings: { changeAllowed, visibility, policy },
      }
    },
  }
}
