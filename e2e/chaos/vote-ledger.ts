/** Every vote of every voter with its answer, and which ballots may stand after them. Pure; times are ms since 1970 of this machine. */

export interface Vote {
  readonly option: string
  /** Whether it carried an order of its own. */
  readonly ordered: boolean
  readonly sentAt: number
  /** Undefined until it is answered or given up. */
  answeredAt?: number
  /** The status of the answer; 0 for none. */
  status?: number
}

/** All ballots of a poll were removed, by a reset or with the poll, at some moment between the two. */
export interface Wipe {
  readonly from: number
  readonly to: number
}

/** The database was read at some moment between the two. */
export interface Reading {
  readonly from: number
  readonly to: number
}

/** A row of the database. */
export interface Ballot {
  readonly option: string
  /** When it was committed. */
  readonly writtenAt: number
}

/** `undefined` among the options: that there is no ballot. */
export type Verdict =
  | { readonly ok: true }
  /**
   * A vote from before a reset was written after it: one of unknown fate, or the copy that a backend held which did not answer in time,
   * of a vote that the other one took. Nobody promises otherwise.
   */
  | { readonly ok: true; readonly late: true }
  | { readonly ok: false; readonly rule: string; readonly possible: readonly (string | undefined)[] }

/** Older votes of a voter than these decide nothing any more. */
const KEPT_VOTES = 40

export interface VoteLedger {
  /** Writes a vote down as it is sent; whoever sends it writes the answer into it. */
  sent(poll: string, voter: string, vote: Vote): void
  /** Says whether this ballot, or none, may stand. */
  judge(poll: string, voter: string, ballot: Ballot | undefined, wipes: readonly Wipe[], reading: Reading): Verdict
  votesOf(poll: string, voter: string): readonly Vote[]
  votersOf(poll: string): Iterable<string>
}

export function createVoteLedger(): VoteLedger {
  const polls = new Map<string, Map<string, Vote[]>>()
  const votersIn = (poll: string) => {
    let voters = polls.get(poll)
    if (voters === undefined) polls.set(poll, (voters = new Map<string, Vote[]>()))
    return voters
  }
  const votesOf = (poll: string, voter: string): Vote[] => votersIn(poll).get(voter) ?? []
  return {
    sent(poll, voter, vote) {
      const votes = votesOf(poll, voter)
      votes.push(vote)
      if (votes.length > KEPT_VOTES) votes.shift()
      votersIn(poll).set(voter, votes)
    },
    judge: (poll, voter, ballot, wipes, reading) => judgeBallot(votesOf(poll, voter), ballot, wipes, reading),
    votesOf,
    votersOf: (poll) => votersIn(poll).keys(),
  }
}

type Fate = 'acknowledged' | 'refused' | 'unknown'

/** What was known of a vote before the reading began. */
function fateOf({ status, answeredAt }: Vote, { from }: Reading): Fate {
  if (status === undefined || answeredAt === undefined || answeredAt >= from) return 'unknown'
  if (status === 200) return 'acknowledged'
  return status >= 400 && status < 500 ? 'refused' : 'unknown'
}

/**
 * The votes are one voter's in one poll, each sent after the one before was answered or given up. The ballot must be the last
 * acknowledged vote, or one of unknown fate sent after it; none, if a wipe may have come after the acknowledged one.
 */
export function judgeBallot(
  votes: readonly Vote[],
  ballot: Ballot | undefined,
  wipes: readonly Wipe[],
  reading: Reading,
): Verdict {
  const possible = new Set<string | undefined>()
  const sent = votes.filter(({ sentAt }) => sentAt <= reading.to)
  let decided = false
  for (const vote of sent.toReversed()) {
    const fate = fateOf(vote, reading)
    if (fate === 'refused') continue
    if (fate === 'unknown') {
      possible.add(vote.option)
      continue
    }
    const { sentAt, answeredAt = reading.from } = vote
    const isWiped = wipes.some(({ from, to }) => from > answeredAt && to < reading.from)
    const mayBeWiped = wipes.some(({ from, to }) => to >= sentAt && from <= reading.to)
    if (!isWiped) possible.add(vote.option)
    if (mayBeWiped) possible.add(undefined)
    decided = true
    break
  }
  if (!decided) possible.add(undefined)
  if (possible.has(ballot?.option)) return { ok: true }
  return explain(sent, ballot, [...possible], wipes, reading)
}

function explain(
  sent: readonly Vote[],
  ballot: Ballot | undefined,
  possible: readonly (string | undefined)[],
  wipes: readonly Wipe[],
  reading: Reading,
): Verdict {
  const wrong = (rule: string): Verdict => ({ ok: false, rule, possible })
  if (ballot === undefined) return wrong('an acknowledged vote is not stored')
  const casts = sent.filter(({ option }) => option === ballot.option)
  const unknown = casts.filter((vote) => fateOf(vote, reading) === 'unknown')
  const isLate = casts.some(
    (vote) => fateOf(vote, reading) !== 'refused' && wipes.some(({ from }) => from > vote.sentAt && from < ballot.writtenAt),
  )
  if (isLate && possible.includes(undefined)) return { ok: true, late: true }
  if (unknown.length > 0) {
    return wrong(
      unknown.some(({ ordered }) => ordered)
        ? 'an older vote of unknown fate replaced a later acknowledged one, although it said its order'
        : 'an older vote of unknown fate replaced a later acknowledged one',
    )
  }
  if (casts.some((vote) => fateOf(vote, reading) === 'acknowledged')) return wrong('an acknowledged change of vote is not stored')
  return wrong(casts.length > 0 ? 'a refused vote is stored' : 'a ballot that nobody cast')
}
