/** A poll as the API shows it: definition, tally, one voter's ballot, and the rules. */
import type { Snapshot } from '../shared/protocol/frames.ts'
import type { Policy, PollStore, Visibility } from './poll-store.ts'
import type { TallyStore } from './tally-store.ts'

export interface Standing extends Snapshot {
  readonly ballot: { readonly option: string } | null
  readonly settings: { readonly changeAllowed: boolean; readonly visibility: Visibility; readonly policy: Policy }
}

export interface Standings {
  /** The poll as one voter may see it, who has voted `ballot` or not at all; undefined if there is no such poll. */
  read(poll: string, ballot?: string): Promise<Standing | undefined>
}

export function createStandings(options: { readonly polls: PollStore; readonly tallies: TallyStore }): Standings {
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
