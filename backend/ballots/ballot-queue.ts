/** The votes that wait for a transaction. While a voter's vote is in flight, the voter's next one waits, which keeps their order. */
import type { CastOutcome } from './cast-outcome.ts'

export interface Vote {
  readonly slug: string
  /** In lower case. */
  readonly voter: string
  readonly option: string
  resolve(outcome: CastOutcome): void
  reject(error: Error): void
}

export interface BallotQueue {
  add(vote: Vote): void
  /** Takes the oldest votes whose voters have none in flight, `max` at most. They are in flight until `release`. */
  take(max: number): Vote[]
  release(batch: readonly Vote[]): void
  readonly waiting: number
  /** How many votes wait or are in flight. */
  readonly size: number
}

export function createBallotQueue(): BallotQueue {
  let waiting: Vote[] = []
  let inFlight = 0
  const voters = new Set<string>()

  return {
    add: (vote) => {
      waiting.push(vote)
    },
    take: (max) => {
      const batch: Vote[] = []
      const held: Vote[] = []
      let looked = 0
      while (looked < waiting.length && batch.length < max) {
        const vote = waiting[looked++] as Vote
        if (voters.has(vote.voter)) held.push(vote)
        else batch.push(vote)
      }
      waiting = held.concat(waiting.slice(looked))
      for (const { voter } of batch) voters.add(voter)
      inFlight += batch.length
      return batch
    },
    release: (batch) => {
      for (const { voter } of batch) voters.delete(voter)
      inFlight -= batch.length
    },
    get waiting() {
      return waiting.length
    },
    get size() {
      return waiting.length + inFlight
    },
  }
}
