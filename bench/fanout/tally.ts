/** The news that is fanned out: tallies of exactly 200 bytes, whose version is the moment they were published at. */
import type { Snapshot } from '../../shared/protocol/frames.ts'

/** The polls are called bench-0, bench-1, … */
export const POLLS = 4
export const TALLY_BYTES = 200

export const pollName = (index: number) => `bench-${index}`

export const pollNames = (polls: number) => Array.from({ length: polls }, (_, index) => pollName(index))

/** The query of a WebSocket that follows the first so many polls. */
export const pollQuery = (polls: number) =>
  pollNames(polls)
    .map((name) => `poll=${name}`)
    .join('&')

/** Microseconds of the monotonic clock, as the load generator reads it. */
export const monotonicUs = () => Number(process.hrtime.bigint() / 1_000n)

/** A snapshot whose tally is exactly {@link TALLY_BYTES} long as JSON. */
export function snapshotAt(index: number, version: number): Snapshot {
  const poll = pollName(index)
  const tally = (name: string) => ({
    type: 'tally' as const,
    poll,
    epoch: 1,
    version,
    counts: { cats: 48_211, dogs: 47_930, [name]: 1_204 },
    total: 97_345,
    at: '2026-01-01T00:00:00.000Z',
  })
  const padded = tally('x'.repeat(TALLY_BYTES - JSON.stringify(tally('')).length))
  const option = (id: string) => ({ id, label: id })
  return {
    poll: {
      type: 'poll',
      poll,
      question: 'Cats or dogs?',
      options: Object.keys(padded.counts).map(option),
      state: 'open',
      resultsVisible: true,
      opensAt: null,
      closesAt: null,
    },
    tally: padded,
  }
}
