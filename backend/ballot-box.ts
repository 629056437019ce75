/** Votes in: those that arrive while a transaction is in flight share the next one, and are acknowledged after it committed. */
import type { Log } from '../shared/telemetry/log.ts'
import { type BallotLane, type Vote, createBallotLane } from './ballot-lane.ts'
import type { Ballot, CastOutcome } from './cast-outcome.ts'
import type { Database } from './db.ts'

export { type Ballot, type CastOutcome, VoteUnconfirmed, VoteUnusable } from './cast-outcome.ts'

export interface BallotBox {
  /** Resolves when the vote's transaction has committed, or with why it was refused. Rejects with `VoteUnconfirmed`. */
  cast(vote: { readonly poll: string; readonly voter: string; readonly option: string }): Promise<CastOutcome>
  /** The ballot that stands. */
  ballotOf(poll: string, voter: string): Promise<Ballot | undefined>
  /** Votes waiting for their transaction. */
  readonly queued: number
  /** Takes no more votes and resolves when those taken are answered; when the signal aborts, the rest is unconfirmed. */
  drain(signal?: AbortSignal): Promise<void>
}

export interface BallotBoxOptions {
  readonly database: Database
  readonly log: Log
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Called after each commit: wakes the poller. */
  readonly onCommitted?: () => void
  /** Connections that commit side by side; a voter always uses the same one. Default 2, and 1 for PGlite. */
  readonly lanes?: number
  /** Votes in one transaction at most. Default 1 000, and 300 for PGlite. */
  readonly batchMax?: number
  /** Votes waiting at most, over all lanes. Default 20 000. */
  readonly queueMax?: number
  /** How long a transaction is tried again after faults that may pass. Default 5 000. */
  readonly giveUpMs?: number
}

export function createBallotBox(options: BallotBoxOptions): BallotBox {
  const { database } = options
  const embedded = database.kind === 'pglite'
  const laneCount = options.lanes ?? (embedded ? 1 : 2)
  const batchMax = options.batchMax ?? (embedded ? 300 : 1_000)
  const queueMax = options.queueMax ?? 20_000
  const lanes = Array.from({ length: laneCount }, () =>
    createBallotLane({
      database,
      log: options.log,
      now: options.now,
      onCommitted: options.onCommitted ?? (() => {}),
      batchMax,
      giveUpMs: options.giveUpMs ?? 5_000,
    }),
  )
  const queued = () => lanes.reduce((sum, lane) => sum + lane.queued, 0)
  let closing = false

  return {
    cast: async ({ poll, voter, option }) => {
      if (closing) return { kind: 'overloaded', retryAfterMs: 1_000 }
      const lane = laneOf(lanes, voter)
      if (queued() >= queueMax) return { kind: 'overloaded', retryAfterMs: lane.waitMs }
      // Postgres has no such character, and so no poll has such an option
      if (option.includes('\0')) return { kind: 'unknown-option' }
      return await new Promise<CastOutcome>((resolve, reject) =>
        lane.add({ poll, voter, option, resolve, reject } satisfies Vote),
      )
    },
    ballotOf: async (poll, voter) => {
      const [row] = await database.query<{ option: string; cast_at: Date }>(BALLOT_OF, [poll, voter])
      return row === undefined ? undefined : { option: row.option, castAt: row.cast_at }
    },
    get queued() {
      return queued()
    },
    drain: async (signal) => {
      closing = true
      await Promise.all(lanes.map((lane) => lane.drain(signal)))
    },
  }
}

/** The lane of a voter, so that two votes of one voter keep their order. The end of a UUIDv7 is random, of a v4 as well. */
function laneOf(lanes: readonly BallotLane[], voter: string): BallotLane {
  const hash = Number.parseInt(voter.slice(-6), 16)
  const lane = lanes[Number.isNaN(hash) ? 0 : hash % lanes.length]
  if (lane === undefined) throw new Error('a ballot box has at least one lane')
  return lane
}

const BALLOT_OF = {
  name: 'ballot of',
  text: `SELECT b.option, b.cast_at FROM livetally.ballots b JOIN livetally.polls p ON p.id = b.poll_id
WHERE p.slug = $1 AND b.voter_id = $2`,
}
