/** Reads polls as the API shows them: one with a voter's ballot, all of them, or the history of one (docs/adr/0021). */
import type { z } from '@hono/zod-openapi'
import type { Ballot } from '../ballots/cast-outcome.ts'
import type { Database } from '../database/database.ts'
import { shareReads } from '../database/share-reads.ts'
import { readHistory } from '../tallies/history.ts'
import { allCountedPolls, type ConfiguredPoll, countedPollsNamed } from '../tallies/tally-queries.ts'
import { countsOf, snapshotOf } from '../tallies/tally.ts'
import { type SharedJson, sharedJson } from './entity-tag.ts'
import type { History, PollList, PollView } from './schemas.ts'

export interface PollViews {
  /** The poll as a voter may see it whose ballot is `ballot`, or who has none; undefined if there is no such poll. */
  read(slug: string, ballot?: Ballot): Promise<z.infer<typeof PollView> | undefined>
  /** What each option has, also where results are hidden or the option was withdrawn; undefined if there is no such poll. */
  counts(slug: string): Promise<Record<string, number> | undefined>
  list(): Promise<SharedJson<z.infer<typeof PollList>>>
  /**
   * The history of the poll as it is defined now, with a point for each step, as they were a second ago at the earliest; undefined if
   * there is no such poll.
   */
  history(slug: string, step: Step): Promise<SharedJson<z.infer<typeof History>> | undefined>
}

export interface Step {
  readonly step: string
  readonly seconds: number
}

/** How long a history is answered with, in ms: it has a sample for each second. */
export const HISTORY_KEPT_MS = 1_000
/** The most histories that are kept. */
const MAX_HISTORIES = 200
/** Histories are read one after the other, so few at once. */
const HISTORIES_AT_ONCE = 8

export interface PollViewOptions {
  readonly database: Database
  /** A clock for spans, in ms. */
  readonly now: () => number
  /** Whether a poll counts a table that is gone. Absent: none does. */
  readonly isSourceGone?: (slug: string) => boolean
}

export function createPollViews({ database, now, isSourceGone = () => false }: PollViewOptions): PollViews {
  const readPoll = shareReads<ConfiguredPoll>({
    load: async (slugs) => new Map((await countedPollsNamed(database, slugs)).map((counted) => [counted.poll.slug, counted])),
  })
  const readList = shareReads({
    load: async ([key = '']) => {
      const snapshots = (await allCountedPolls(database)).map(({ poll, counters }) => snapshotOf(poll, counters))
      const polls = snapshots.map(({ poll, tally }) => ({
        ...poll,
        total: tally.total,
        ...(isSourceGone(poll.poll) && { sourceGone: true }),
      }))
      return new Map([[key, sharedJson({ polls })]])
    },
  })
  /** By slug, step and definition of the poll, in the order in which they were read. */
  const histories = new Map<string, { readonly history: SharedJson<z.infer<typeof History>>; readonly readAt: number }>()
  const readSharedHistory = shareReads({
    atOnce: HISTORIES_AT_ONCE,
    load: async (keys) => {
      const read = new Map<string, SharedJson<z.infer<typeof History>>>()
      for (const key of keys) {
        const readAt = now()
        const [slug = '', step = '', seconds] = key.split(' ')
        const points = await readHistory(database, slug, Number(seconds))
        if (points === undefined) continue
        const history = sharedJson({
          poll: slug,
          step,
          points: points.map(({ at, counts, total }) => ({ at, total, ...(counts && { counts }) })),
        })
        read.set(key, history)
        histories.delete(key)
        histories.set(key, { history, readAt })
        for (const oldest of histories.keys()) {
          if (histories.size <= MAX_HISTORIES) break
          histories.delete(oldest)
        }
      }
      return read
    },
  })

  return {
    async read(slug, ballot) {
      const counted = await readPoll(slug)
      if (counted === undefined) return undefined
      return {
        ...snapshotOf(counted.poll, counted.counters, ballot !== undefined),
        ballot: ballot ?? null,
        settings: counted.settings,
      }
    },
    async counts(slug) {
      const counted = await readPoll(slug)
      return counted && countsOf(counted.counters)
    },
    async list() {
      const list = await readList('all')
      if (list === undefined) throw new Error('the list was not read')
      return list
    },
    async history(slug, { step, seconds }) {
      // what is kept is of one poll and one of its definitions, so that nobody is told what was hidden or removed since
      const poll = (await readPoll(slug))?.poll
      if (poll === undefined) return undefined
      const key = [slug, step, seconds, poll.id, poll.epoch, poll.revision].join(' ')
      const kept = histories.get(key)
      return kept !== undefined && now() - kept.readAt < HISTORY_KEPT_MS ? kept.history : await readSharedHistory(key)
    },
  }
}
