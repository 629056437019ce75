/** One connection of the ballot box, which commits one batch at a time. */
import { wait } from '../../shared/lifecycle/clock.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import { BATCH_SETTINGS, castBatch } from './cast-batch.ts'
import { type CastOutcome, VoteUnconfirmed, VoteUnusable } from './cast-outcome.ts'
import { isConnectionFault, isDataFault, isTransient, isUndone, isWithoutPrimary } from '../database/errors.ts'
import type { Database, Session } from '../database/database.ts'

/** A vote, and how to tell its voter. */
export interface Vote {
  readonly slug: string
  /** In lower case. */
  readonly voter: string
  readonly option: string
  readonly order: number
  /** Whether somebody still waits for the outcome. */
  isAwaited(): boolean
  resolve(outcome: CastOutcome): void
  reject(error: Error): void
}

export interface BatchWriter {
  /** Commits the votes, in one transaction unless the data of one makes it fail. Never rejects. */
  commit(batch: readonly Vote[]): Promise<Answer>
  close(): Promise<void>
}

/** Tells the voters of a batch what became of their votes. */
export type Answer = () => void

const ACCEPTED: CastOutcome = { kind: 'accepted' }
/** What holds also where an earlier try may stand: each names the ballot that does. A poll may have closed since. */
const CERTAIN: ReadonlySet<CastOutcome['kind']> = new Set(['accepted', 'already-voted', 'superseded'])
const UNAVAILABLE: CastOutcome = { kind: 'unavailable', retryAfterMs: 1_000 }

/** How long votes are held while no database takes writes, in ms: a gateway that waits longer takes a vote for one that may be cast. */
const HOLD_MS = 1_000

export interface BatchWriterOptions {
  readonly database: Database
  readonly log: Log
  readonly now: () => number
  /** Shared by all writers. */
  readonly outage: Outage
  /** How long a transaction is tried again after faults that may pass, ms. */
  readonly giveUpMs: number
  readonly onCommitted: () => void
  /** When it aborts, no transaction is tried again, and the votes are unconfirmed. */
  readonly abandoned: AbortSignal
}

export function createBatchWriter(options: BatchWriterOptions): BatchWriter {
  const { abandoned, giveUpMs, log, now, outage } = options
  const connection = createWriterConnection(options.database)

  /** `mayStand`: the answer to a try was lost, so that its votes may stand. */
  const commit = async (batch: readonly Vote[], mayStand = false): Promise<Answer> => {
    const startedAt = now()
    for (let attempt = 0; ; attempt++) {
      let isSent = false
      try {
        abandoned.throwIfAborted()
        const session = connection.ready ?? (await connection.open())
        isSent = true
        // a batch that is tried again does no harm: its votes keep their orders
        const outcomes = await castBatch(session, batch)
        outage.end()
        options.onCommitted()
        return () => {
          for (const [i, vote] of batch.entries()) {
            const outcome = outcomes[i] ?? ACCEPTED
            if (mayStand && !CERTAIN.has(outcome.kind))
              vote.reject(new VoteUnconfirmed(`an earlier try may stand: ${outcome.kind}`))
            else vote.resolve(outcome)
          }
        }
      } catch (error) {
        if (isConnectionFault(error)) await connection.drop()
        const [vote] = batch
        if (isDataFault(error) && vote !== undefined && batch.length === 1) {
          return () => vote.reject(new VoteUnusable('the vote cannot be stored', { cause: error }))
        }
        if (isDataFault(error)) {
          // the data of one vote makes the statement fail: the batch is halved until that vote is alone
          const middle = batch.length >> 1
          const answers = [await commit(batch.slice(0, middle), mayStand), await commit(batch.slice(middle), mayStand)]
          return () => answers.forEach((answer) => answer())
        }
        mayStand ||= isSent && !isUndone(error)
        const isOut = isWithoutPrimary(error)
        if (isOut) outage.begin(error)
        const mayPass = isOut || isTransient(error)
        const tookMs = now() - startedAt
        const isOver = tookMs > giveUpMs || (isOut && !mayStand && Math.max(tookMs, outage.lastsMs) > HOLD_MS)
        const report = { votes: batch.length, attempt: attempt + 1, reason: String(error) }
        if (mayPass && !isOver && !abandoned.aborted) {
          if (!isOut) log.warn(report, 'a batch of votes is tried again')
          await wait(Math.min(25 * 2 ** attempt, 500), abandoned)
        } else if (mayPass && !mayStand) {
          if (!isOut) log.error(report, 'votes are refused')
          return () => batch.forEach(({ resolve }) => resolve(UNAVAILABLE))
        } else {
          log.error(report, 'votes could not be confirmed')
          const unconfirmed = new VoteUnconfirmed('the database did not confirm the vote', { cause: error })
          return () => batch.forEach(({ reject }) => reject(unconfirmed))
        }
      }
    }
  }

  return { commit: (batch) => commit(batch), close: () => connection.drop() }
}

/** The time in which no database takes writes, logged when it begins and when it ends. */
export interface Outage {
  begin(reason: unknown): void
  end(): void
  /** 0 while there is none. */
  readonly lastsMs: number
}

export function createOutage({ log, now }: Pick<BatchWriterOptions, 'log' | 'now'>): Outage {
  let since: number | undefined
  return {
    begin(reason) {
      if (since !== undefined) return
      since = now()
      log.warn({ reason: String(reason) }, 'no database takes votes')
    },
    end() {
      if (since === undefined) return
      log.info({ afterMs: Math.round(now() - since) }, 'votes are taken again')
      since = undefined
    },
    get lastsMs() {
      return since === undefined ? 0 : now() - since
    },
  }
}

/** The writer's session, which is opened when it is needed and claims a counter slot for itself. */
function createWriterConnection(database: Database) {
  let session: Session | undefined
  const drop = async () => {
    const old = session
    session = undefined
    await old?.close().catch(() => {})
  }
  return {
    get ready(): Session | undefined {
      return session?.lost === false ? session : undefined
    },
    open: async (): Promise<Session> => {
      await drop()
      const options = { label: 'ballot box', settings: BATCH_SETTINGS }
      if (database.openPooled !== undefined) {
        return (session = await database.openPooled({ ...options, first: CLAIM_SLOT_FOR_TRANSACTION }))
      }
      const fresh = await database.openSession(options)
      try {
        await fresh.query({ text: CLAIM_SLOT })
      } catch (error) {
        await fresh.close().catch(() => {})
        throw error
      }
      return (session = fresh)
    },
    drop,
  }
}

/**
 * Claims a slot by a lock that nobody else can have. A connection that finds all of them taken uses the slots of other programs, one for
 * each transaction.
 */
const claimSlot = (tryLock: string, isLocal: boolean) => `
SELECT set_config('livetally.slot', coalesce(
  (SELECT slot::text FROM generate_series(0, 63) AS slot WHERE ${tryLock}(1282696277, slot) LIMIT 1), ''), ${isLocal})`

/** Lasts as long as the connection. */
const CLAIM_SLOT = claimSlot('pg_try_advisory_lock', false)
/** Behind a pooler, which lends the session to others after each transaction. */
const CLAIM_SLOT_FOR_TRANSACTION = claimSlot('pg_try_advisory_xact_lock', true)
