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
}

/** An entry of the list: the voter as the other program names them, and the option. */
const Entry = z.object({ voter_id: z.string().min(1).max(255), vote: z.string().min(1).max(255) })

/**
 * Casts every entry at least once until the signal aborts; the entries' orders decide which of a voter's stands. An entry leaves the list only when its vote was committed or
 * refused for good (poll closed, no such option); the list keeps refused and unreadable entries apart. Never rejects.
 */
export async function ingest(options: IngestOptions, signal: AbortSignal): Promise<void> {
  const { list, log, now } = options
  const retry = createRetryGuard({
    log,
    now,
    begins: 'votes cannot be taken from the list',
    ends: 'votes are taken from the list again',
  })
  while (!signal.aborted) {
    await retry.guard(async () => {
      const entries = await list.take(options.batchMax ?? 500)
      const rejected = await castAll(entries, options, signal)
      // some entries have no outcome yet: all of them stay taken, and the next `take` returns them again
      if (rejected === undefined) return
      if (entries.length > 0) await list.done(entries, rejected)
      if (rejected.length > 0) log.warn({ rejected: rejected.length, poll: options.slug }, 'entries of the list were not counted')
    })
    const pauseMs = retry.retryAt - now()
    if (pauseMs > 0) await wait(pauseMs, signal)
  }
}

/** Resolves to the entries that were rejected for good; undefined if the signal aborted while some were still to be tried again. */
async function castAll(
  entries: readonly TakenEntry[],
  { ballotBox, slug }: Pick<IngestOptions, 'ballotBox' | 'slug'>,
  signal: AbortSignal,
): Promise<TakenEntry[] | undefined> {
  const rejected: TakenEntry[] = []
  // all at once, so that they share transactions
  let waiting = entries
  while (waiting.length > 0) {
    const fates = await Promise.all(waiting.map(async (entry) => ({ entry, fate: await castEntry(entry, ballotBox, slug) })))
    for (const { entry, fate } of fates) if (fate === 'rejected') rejected.push(entry)
    const delays = fates.map(({ fate }) => (typeof fate === 'number' ? fate : 0))
    waiting = fates.filter(({ fate }) => typeof fate === 'number').map(({ entry }) => entry)
    if (waiting.length > 0) await wait(Math.max(...delays), signal)
    if (waiting.length > 0 && signal.aborted) return undefined
  }
  return rejected
}

/** Outcomes after which the voter has a ballot, be it from another entry: a later one, or the first where votes are final. */
const COUNTED = new Set<CastOutcome['kind']>(['accepted', 'already-voted', 'superseded'])

/** Casts one entry. A number is the time in ms after which to try it again. Rejects with `VoteUnconfirmed`. */
async function castEntry(
  { order, text }: TakenEntry,
  ballotBox: Pick<BallotBox, 'cast'>,
  slug: string,
): Promise<'counted' | 'rejected' | number> {
  const entry = parse(text)
  if (entry === undefined) return 'rejected'
  try {
    const outcome = await ballotBox.cast({ slug, voter: ingestedVoter(entry.voter_id), option: entry.vote, order })
    if (outcome.kind === 'overloaded') return outcome.retryAfterMs
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
