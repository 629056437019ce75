/** Casts the votes of another program's list, in place of the worker of Docker's example voting app. */
import { z } from 'zod'
import { wait } from '../../shared/lifecycle/clock.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import type { BallotBox } from '../ballots/ballot-box.ts'
import { type CastOutcome, VoteUnusable } from '../ballots/cast-outcome.ts'
import { hashedUuid } from '../polls/voter-id.ts'
import { createRetryGuard } from '../../shared/lifecycle/retry-guard.ts'
import type { TakenEntry, VoteList } from './vote-list.ts'

export interface IngestOptions {
  readonly list: Pick<VoteList, 'take' | 'done'>
  readonly ballotBox: Pick<BallotBox, 'cast'>
  /** Of the poll the votes are for. */
  readonly slug: string
  readonly log: Log
  readonly now: () => number
  /** Entries at a time. Default 500. */
  readonly batchMax?: number
  /** Called after each round with how many entries wait because their poll is missing or not yet open. */
  readonly onWaiting?: (entries: number) => void
}

/** An entry of the list: the voter as the other program names them, and the option. */
const Entry = z.object({ voter_id: z.string().min(1).max(255), vote: z.string().min(1).max(255) })

/** Outcomes that say nothing about the vote, only that its poll takes none yet; and how that is said. */
const NOT_YET: Partial<Record<CastOutcome['kind'], string>> = {
  'unknown-poll': 'there is no such poll',
  'not-open': 'the poll is not open yet',
}
/** How long to wait at first, and at most, until the votes of a poll that takes none yet are cast again, in ms. */
const [POLL_WAIT_MS, MAX_POLL_WAIT_MS] = [100, 2_000]

/**
 * Casts every entry at least once until the signal aborts; the entries' orders decide which of a voter's stands. An entry leaves the
 * list only when its vote was committed or refused for good (poll closed, no such option); the list keeps refused and unreadable entries
 * apart. While the poll is missing or not yet open, entries stay taken, in their order. Never rejects.
 */
export async function ingest(options: IngestOptions, signal: AbortSignal): Promise<void> {
  const { list, slug, log, now, onWaiting = () => {} } = options
  const retry = createRetryGuard({
    log,
    now,
    begins: 'votes cannot be taken from the list',
    ends: 'votes are taken from the list again',
  })
  let reason: string | undefined
  let pollWaitMs = 0
  const hearOfPoll = ({ waiting, why }: Pick<Round, 'waiting' | 'why'>) => {
    onWaiting(waiting)
    if (why !== undefined && why !== reason)
      log.warn({ poll: slug, reason: why, waiting }, 'votes of the list wait for their poll')
    if (why === undefined && reason !== undefined)
      log.info({ poll: slug }, 'the poll takes votes now: those of the list are cast')
    pollWaitMs = why === undefined ? 0 : Math.min(Math.max(POLL_WAIT_MS, pollWaitMs * 2), MAX_POLL_WAIT_MS)
    reason = why
  }
  while (!signal.aborted) {
    await retry.guard(async () => {
      const entries = await list.take(options.batchMax ?? 500)
      if (entries.length === 0) {
        onWaiting(0)
        pollWaitMs = 0
        return
      }
      const round = await castAll(entries, options, signal)
      if (round === undefined) return
      hearOfPoll(round)
      // some entries have no outcome yet: all of them stay taken, and the next `take` returns them again
      if (round.waiting > 0) return
      const { rejected } = round
      await list.done(entries, rejected)
      if (rejected.length > 0) log.warn({ rejected: rejected.length, poll: slug }, 'entries of the list were not counted')
    })
    const pauseMs = Math.max(retry.retryAt - now(), pollWaitMs)
    if (pauseMs > 0) await wait(pauseMs, signal)
  }
}

/** What became of entries that were cast together. */
interface Round {
  /** For good. */
  readonly rejected: readonly TakenEntry[]
  /** How many are to be cast again once the poll takes votes, and why it takes none. */
  readonly waiting: number
  readonly why: string | undefined
}

/** Casts entries until all are counted, rejected or wait for their poll; undefined if the signal aborted before. */
async function castAll(
  entries: readonly TakenEntry[],
  { ballotBox, slug }: Pick<IngestOptions, 'ballotBox' | 'slug'>,
  signal: AbortSignal,
): Promise<Round | undefined> {
  const rejected: TakenEntry[] = []
  let waiting = 0
  let why: string | undefined
  // all at once, so that they share transactions
  let left = entries
  while (left.length > 0) {
    const fates = await Promise.all(left.map(async (entry) => ({ entry, fate: await castEntry(entry, ballotBox, slug) })))
    for (const { entry, fate } of fates) {
      if (fate === 'rejected') rejected.push(entry)
      if (typeof fate === 'object') {
        waiting++
        why = fate.notYet
      }
    }
    const delays = fates.map(({ fate }) => (typeof fate === 'number' ? fate : 0))
    left = fates.filter(({ fate }) => typeof fate === 'number').map(({ entry }) => entry)
    if (left.length > 0) await wait(Math.max(...delays), signal)
    if (left.length > 0 && signal.aborted) return undefined
  }
  return { rejected, waiting, why }
}

/** Outcomes after which the voter has a ballot, be it from another entry: a later one, or the first where votes are final. */
const COUNTED = new Set<CastOutcome['kind']>(['accepted', 'already-voted', 'superseded'])

/**
 * Casts one entry. A number is the time in ms after which to try it again, `notYet` why its poll takes no votes yet. Rejects with
 * `VoteUnconfirmed`.
 */
async function castEntry(
  { order, text }: TakenEntry,
  ballotBox: Pick<BallotBox, 'cast'>,
  slug: string,
): Promise<'counted' | 'rejected' | number | { readonly notYet: string }> {
  const entry = parse(text)
  if (entry === undefined) return 'rejected'
  try {
    const outcome = await ballotBox.cast({ slug, voter: ingestedVoter(entry.voter_id), option: entry.vote, order })
    if (outcome.kind === 'overloaded' || outcome.kind === 'unavailable') return outcome.retryAfterMs
    const notYet = NOT_YET[outcome.kind]
    if (notYet !== undefined) return { notYet }
    return COUNTED.has(outcome.kind) ? 'counted' : 'rejected'
  } catch (error) {
    if (error instanceof VoteUnusable) return 'rejected'
    throw error
  }
}

function parse(text: string): z.infer<typeof Entry> | undefined {
  try {
    return Entry.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

/** The voter id for a voter of another program: always the same one for the same name. */
export function ingestedVoter(voterId: string): string {
  return hashedUuid('livetally ingest', voterId)
}
