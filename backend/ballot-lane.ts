/** One connection of the ballot box: a queue, and one batch at a time. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Log } from '../shared/telemetry/log.ts'
import { BATCH_SETTINGS, castBatch } from './ballot-batch.ts'
import { type CastOutcome, VoteUnconfirmed, VoteUnusable } from './cast-outcome.ts'
import { isConnectionFault, isDataFault, isTransient } from './db-faults.ts'
import type { Database, Session } from './db.ts'

export interface Vote {
  readonly poll: string
  readonly voter: string
  readonly option: string
  resolve(outcome: CastOutcome): void
  reject(error: Error): void
}

export interface BallotLane {
  add(vote: Vote): void
  readonly queued: number
  /** About how long a vote added now would wait. */
  readonly waitMs: number
  drain(signal?: AbortSignal): Promise<void>
}

export interface BallotLaneOptions {
  readonly database: Database
  readonly log: Log
  readonly now: () => number
  readonly onCommitted: () => void
  readonly batchMax: number
  readonly giveUpMs: number
}

export function createBallotLane(options: BallotLaneOptions): BallotLane {
  const { batchMax, giveUpMs, log, now } = options
  let queue: Vote[] = []
  let inFlight = 0
  let running: Promise<void> | undefined
  let batchMs = 10
  const abandoned = new AbortController()
  const connection = createLaneConnection(options.database, now)

  const run = async () => {
    // votes of the same turn of the event loop share the first transaction, too
    await Promise.resolve()
    while (queue.length > 0) {
      const batch = queue.length <= batchMax ? queue : queue.slice(0, batchMax)
      queue = queue.length <= batchMax ? [] : queue.slice(batchMax)
      inFlight = batch.length
      const startedAt = now()
      await commit(batch)
      batchMs = 0.8 * batchMs + 0.2 * (now() - startedAt)
      inFlight = 0
    }
    running = undefined
  }

  /** Commits the votes, in one transaction if none of them spoils it, and answers every one. Never rejects. */
  const commit = async (batch: readonly Vote[]): Promise<void> => {
    const startedAt = now()
    for (let attempt = 0; ; attempt++) {
      try {
        abandoned.signal.throwIfAborted()
        const session = await connection.get()
        // a retry must not replace what the voter has meanwhile cast elsewhere
        const outcomes = await castBatch(session, batch, attempt === 0 ? undefined : connection.databaseTime(startedAt))
        options.onCommitted()
        for (const [i, cast] of batch.entries()) cast.resolve(outcomes[i] ?? { kind: 'accepted' })
        return
      } catch (error) {
        if (isConnectionFault(error)) await connection.drop()
        const [vote] = batch
        if (isDataFault(error) && vote !== undefined && batch.length === 1) {
          vote.reject(new VoteUnusable('the vote cannot be stored', { cause: error }))
          return
        }
        if (isDataFault(error)) {
          // one vote spoils it for the others: halve until it stands alone
          const middle = batch.length >> 1
          await commit(batch.slice(0, middle))
          await commit(batch.slice(middle))
          return
        }
        if (!isTransient(error) || abandoned.signal.aborted || now() - startedAt > giveUpMs) {
          log.error({ votes: batch.length, attempts: attempt + 1, reason: String(error) }, 'votes could not be confirmed')
          for (const unconfirmed of batch)
            unconfirmed.reject(new VoteUnconfirmed('the database did not confirm the vote', { cause: error }))
          return
        }
        log.warn({ votes: batch.length, attempt: attempt + 1, reason: String(error) }, 'a batch of votes is tried again')
        await sleep(Math.min(25 * 2 ** attempt, 500), undefined, { signal: abandoned.signal }).catch(() => {})
      }
    }
  }

  return {
    add: (vote) => {
      queue.push(vote)
      running ??= run()
    },
    get queued() {
      return queue.length + inFlight
    },
    get waitMs() {
      return Math.min(10_000, Math.max(250, Math.ceil(((queue.length + inFlight) / batchMax) * batchMs)))
    },
    drain: async (signal) => {
      const abandon = () => abandoned.abort(signal?.reason)
      if (signal?.aborted) abandon()
      signal?.addEventListener('abort', abandon, { once: true })
      await running
      signal?.removeEventListener('abort', abandon)
      await connection.drop()
    },
  }
}

/** The lane's session: opened when needed, with a counter slot that no other connection has. */
function createLaneConnection(database: Database, now: () => number) {
  let session: Session | undefined
  /** The database's clock less ours. */
  let aheadMs = 0
  const drop = async () => {
    const old = session
    session = undefined
    await old?.close().catch(() => {})
  }
  return {
    get: async (): Promise<Session> => {
      if (session !== undefined && !session.lost) return session
      await drop()
      const fresh = await database.openSession({ label: 'ballot box', settings: BATCH_SETTINGS })
      try {
        const [claim] = await fresh.query<{ at: string }>({ text: CLAIM_SLOT })
        aheadMs = Number(claim?.at) - now()
      } catch (error) {
        await fresh.close().catch(() => {})
        throw error
      }
      return (session = fresh)
    },
    databaseTime: (at: number) => new Date(at + aheadMs),
    drop,
  }
}

/** A session lock that lasts as long as the connection; a connection that finds all slots taken shares with strangers. */
const CLAIM_SLOT = `
SELECT set_config('livetally.slot', coalesce(
  (SELECT slot::text FROM generate_series(0, 63) AS slot WHERE pg_try_advisory_lock(1282696277, slot) LIMIT 1), ''), false),
  floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS at`
