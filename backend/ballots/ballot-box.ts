/** The ballot box: votes that arrive while a transaction is in flight share the next one, and are answered after its commit. */
import type { Log } from '../../shared/telemetry/log.ts'
import { type BatchWriter, type Vote, createBatchWriter, createOutage } from './batch-writer.ts'
import type { Ballot, CastOutcome } from './cast-outcome.ts'
import type { Database } from '../database/database.ts'
import { shareReads } from '../database/share-reads.ts'
import { TURNS_AFTER_HALT, watchHalts } from '../../shared/lifecycle/watch-halts.ts'

export interface BallotBox {
  /**
   * Resolves when the vote's transaction has committed, or with why it was refused. Rejects with `VoteUnconfirmed`.
   * @param vote `order` is a safe integer above 0: of the voter's votes the one with the highest stands. A vote that still waits when
   * `isAwaited` returns false is not cast: its sender may have been told that it failed, and have cast it elsewhere.
   */
  cast(vote: {
    readonly slug: string
    readonly voter: string
    readonly option: string
    readonly order: number
    readonly isAwaited?: () => boolean
  }): Promise<CastOutcome>
  /** The voter's ballot in the poll, if there is one. */
  ballotOf(slug: string, voter: string): Promise<Ballot | undefined>
  /** How many votes wait or are in a transaction that has not committed. */
  readonly queued: number
  /** Takes no more votes and resolves when all taken are answered. Once the signal aborts, no batch is tried again. */
  drain(signal?: AbortSignal): Promise<void>
}

export interface BallotBoxOptions {
  readonly database: Database
  readonly log: Log
  /** Milliseconds, monotonic. */
  readonly now: () => number
  /** Called after each commit, to wake the poller. */
  readonly onCommitted?: () => void
  /** Connections that commit side by side, opened when needed. Default 3, and 1 for PGlite. */
  readonly writers?: number
  /** Votes in one transaction at most. Default 1 000, and 300 for PGlite. */
  readonly batchMax?: number
  /** Votes waiting or in flight at most. Default 20 000. */
  readonly queueMax?: number
  /** How long a transaction is tried again after faults that may pass. Default 5 000. */
  readonly giveUpMs?: number
}

/** Up to so many votes stay together in one batch instead of being spread over the idle writers (docs/adr/0012). */
const WORTH_A_BATCH = 400

export function createBallotBox(options: BallotBoxOptions): BallotBox {
  const { database, now, onCommitted = () => {} } = options
  const embedded = database.kind === 'pglite'
  const writerCount = options.writers ?? (embedded ? 1 : 3)
  const batchMax = options.batchMax ?? (embedded ? 300 : 1_000)
  const queueMax = options.queueMax ?? 20_000
  const abandoned = new AbortController()
  const outage = createOutage(options)
  const writerOptions = { ...options, outage, onCommitted, giveUpMs: options.giveUpMs ?? 5_000, abandoned: abandoned.signal }
  const writers = Array.from({ length: writerCount }, () => createBatchWriter(writerOptions))
  const idle = [...writers]
  const queue = createBallotQueue()
  const readBallot = shareReads({ load: (keys) => readBallots(database, keys) })
  const running = new Set<Promise<void>>()
  const halts = watchHalts(now)
  let planned = false
  let closing = false
  let batchMs = 10

  /** How many votes a batch may take, so that the votes of a full queue are spread over all writers. */
  const batchSize = () => Math.min(batchMax, Math.max(WORTH_A_BATCH, Math.ceil(queue.size / writerCount)))

  /** Votes that arrive in one turn of the event loop share a batch. After a halt they wait until it is known who still awaits them. */
  const plan = () => {
    if (planned) return
    planned = true
    let turns = 0
    const turn = () => {
      if (halts.isRecent() && ++turns < TURNS_AFTER_HALT) return void setImmediate(turn)
      planned = false
      start()
    }
    setImmediate(turn)
  }

  /** Gives a batch of the waiting votes to each idle writer, while there are both. */
  const start = () => {
    for (let writer = idle.at(-1); writer !== undefined; writer = idle.at(-1)) {
      const batch = queue.take(batchSize())
      if (batch.length === 0) return
      idle.pop()
      const work = commit(writer, batch).finally(() => running.delete(work))
      running.add(work)
    }
  }

  const commit = async (writer: BatchWriter, batch: readonly Vote[]): Promise<void> => {
    const startedAt = now()
    const answer = await writer.commit(batch)
    batchMs = 0.8 * batchMs + 0.2 * (now() - startedAt)
    queue.release(batch)
    idle.push(writer)
    // with many votes waiting, the next batch goes out before the voters of this one are told; a few votes wait for the answers,
    // since the voters who get them may vote again and share the batch (docs/adr/0012)
    if (queue.waiting * 4 >= batchSize() && !halts.isRecent()) start()
    answer()
    if (queue.waiting > 0) plan()
  }

  return {
    cast: ({ slug, voter, option, order, isAwaited = () => true }) =>
      new Promise<CastOutcome>((resolve, reject) => {
        if (closing) return resolve({ kind: 'overloaded', retryAfterMs: 1_000 })
        if (queue.size >= queueMax) return resolve({ kind: 'overloaded', retryAfterMs: waitMs() })
        // Postgres stores no NUL in a text, so no poll has such an option
        if (option.includes('\0')) return resolve({ kind: 'unknown-option' })
        queue.add({ slug, voter: voter.toLowerCase(), option, order, isAwaited, resolve, reject })
        plan()
      }),
    ballotOf: (slug, voter) => readBallot(`${slug} ${voter.toLowerCase()}`),
    get queued() {
      return queue.size
    },
    drain: async (signal) => {
      closing = true
      const abandon = () => abandoned.abort(signal?.reason)
      if (signal?.aborted) abandon()
      signal?.addEventListener('abort', abandon, { once: true })
      while (queue.size > 0) {
        start()
        // nothing runs if nobody awaits the votes that waited
        if (queue.size > 0) await Promise.race(running)
      }
      signal?.removeEventListener('abort', abandon)
      halts.stop()
      await Promise.all(writers.map((writer) => writer.close()))
    },
  }

  /** About how long a vote added now would wait. */
  function waitMs(): number {
    return Math.min(10_000, Math.max(250, Math.ceil((queue.size / (batchMax * writerCount)) * batchMs)))
  }
}

/** Reads ballots by slug and voter, with a space between. */
async function readBallots(database: Database, keys: readonly string[]): Promise<ReadonlyMap<string, Ballot>> {
  const asked = keys.map((key) => key.split(' '))
  const rows = await database.query<{ slug: string; voter: string; option: string; vote_order: string }>(BALLOTS_OF, [
    asked.map(([slug]) => slug),
    asked.map(([, voter]) => voter),
  ])
  return new Map(rows.map(({ slug, voter, option, vote_order: order }) => [`${slug} ${voter}`, { option, order: Number(order) }]))
}

const BALLOTS_OF = {
  name: 'ballots of',
  text: `SELECT p.slug, b.voter_id AS voter, b.option, b.vote_order FROM unnest($1::text[], $2::uuid[]) AS asked (slug, voter)
JOIN livetally.polls p ON p.slug = asked.slug JOIN livetally.ballots b ON b.poll_id = p.id AND b.voter_id = asked.voter`,
}

interface BallotQueue {
  add(vote: Vote): void
  /**
   * Takes the oldest votes whose voters have none in flight, `max` at most. They are in flight until `release`. Drops those that nobody
   * awaits.
   */
  take(max: number): Vote[]
  release(batch: readonly Vote[]): void
  readonly waiting: number
  /** How many votes wait or are in flight. */
  readonly size: number
}

/** While a vote of a voter is in a transaction, the voter's next vote waits, so that it is judged by the ballot of the one before. */
function createBallotQueue(): BallotQueue {
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
        if (!vote.isAwaited()) vote.resolve({ kind: 'abandoned' })
        else if (voters.has(vote.voter)) held.push(vote)
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
