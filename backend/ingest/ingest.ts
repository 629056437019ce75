/** The list of another program into the ballot box: what the worker of Docker's example voting app does, for a poll of ours. */
import { z } from 'zod'
import { wait } from '../../shared/lifecycle/clock.ts'
import type { Log } from '../../shared/telemetry/log.ts'
import type { BallotBox } from '../ballots/ballot-box.ts'
import { VoteUnusable } from '../ballots/cast-outcome.ts'
import { hashedUuid } from '../polls/voter-id.ts'
import { createRetryGuard } from '../../shared/lifecycle/retry-guard.ts'
import type { VoteList } from './vote-list.ts'

export interface IngestOptions {
  readonly list: Pick<VoteList, 'take' | 'done'>
  readonly ballotBox: Pick<BallotBox, 'cast'>
  /** Slug of the poll the votes are for. */
  readonly slug: string
  readonly log: Log
  readonly now: () => number
  /** Entries at a time. Default 500. */
  readonly batchMax?: number
}

/** An entry of the list: the voter as the other program names them, and the option. */
const Entry = z.object({ voter_id: z.string().min(1).max(255), vote: z.string().min(1).max(255) })

/**
 * Casts every entry at least once, in order, until the signal aborts. An entry leaves the list only when its vote was committed or
 * refused for good (poll closed, no such option); the refused and the unreadable are kept aside by the list. Never rejects.
 */
export async function ingest(options: IngestOptions, signal: AbortSignal): Promise<void> {
  const { list, log, now } = options
  const retry = createRetryGuard(log, now, 'votes cannot be taken from the list', 'votes are taken from the list again')
  while (!signal.aborted) {
    await retry.guard(async () => {
      const entries = await list.take(options.batchMax ?? 500)
      const rejected = await castAll(entries, options, signal)
      // an entry whose fate is unknown stays taken, and comes with the next take
      if (rejected === undefined) return
      if (entries.length > 0) await list.done(rejected)
      if (rejected.length > 0) log.warn({ rejected: rejected.length, poll: options.slug }, 'entries of the list were not counted')
    })
    const pauseMs = retry.retryAt - now()
    if (pauseMs > 0) await wait(pauseMs, signal)
  }
}

/** The entries that were not counted and never will be; undefined if some have to be tried again. */
async function castAll(
  entries: readonly string[],
  { ballotBox, slug }: Pick<IngestOptions, 'ballotBox' | 'slug'>,
  signal: AbortSignal,
): Promise<string[] | undefined> {
  const rejected: string[] = []
  // at once, so that they share transactions; the ballot box keeps the order of one voter's votes
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

/** Counted, refused for good, or to be tried again after so many ms. Rejects with `VoteUnconfirmed`. */
async function castEntry(
  text: string,
  ballotBox: Pick<BallotBox, 'cast'>,
  slug: string,
): Promise<'counted' | 'rejected' | number> {
  const entry = parse(text)
  if (entry === undefined) return 'rejected'
  try {
    const outcome = await ballotBox.cast({ slug, voter: ingestedVoter(entry.voter_id), option: entry.vote })
    if (outcome.kind === 'overloaded') return outcome.retryAfterMs
    return outcome.kind === 'accepted' || outcome.kind === 'already-voted' ? 'counted' : 'rejected'
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

/** The voter id for a voter of another program, always the same. */
export function ingestedVoter(voterId: string): string {
  return hashedUuid('livetally ingest', voterId)
}
