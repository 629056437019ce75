/** Compares what every screen shows with the database, several times a second, and measures how fast screens are right after a fault. */
import { setTimeout as delay } from 'node:timers/promises'
import { isNewer } from '../../shared/protocol/order.ts'
import type { Chapter, Journal } from './journal.ts'
import { LASTING_POLLS } from './organiser.ts'
import type { Pace } from './pace.ts'
import type { Screen } from './screens.ts'
import type { PollTruth, Truth } from './truth.ts'

export interface Watch {
  /** By how much screens were behind while nothing was wrong, in ms; how often that was looked at is its resolution. */
  readonly calmLagsMs: readonly number[]
  /** By how much the worst screen was behind, for each look of the run. */
  readonly worst: readonly Lag[]
  /** The chapter's fault is over: resolves once every screen is right, or to false when the patience is over. */
  recover(chapter: Chapter): Promise<boolean>
  /** Waits until every screen is right, without judging it. */
  heal(): Promise<void>
  /** Resolves to what is wrong on screens while nobody votes: nothing, once all show exactly what the database has. */
  settle(): Promise<string[]>
  stop(): Promise<void>
}

/** By how much a screen was behind at a moment; both in ms. */
export interface Lag {
  readonly at: number
  readonly ms: number
}

export interface WatchOptions {
  readonly truth: Truth
  readonly screens: readonly Screen[]
  readonly journal: Journal
  /** Bounds are stretched by it. */
  readonly pace: Pace
}

const CALM_EVERY_MS = 200
const EVERY_MS = 50
/** Right again within this after a fault is over. */
const RIGHT_MS = 5_000
/** Never further behind than this while nothing is wrong. */
const CALM_BEHIND_MS = 3_000
/** A screen that is further behind says so. Some time to notice comes on top. */
const SILENT_MS = 5_000
const NOTICE_MS = 1_500
/** A screen takes its gateway for dead after this; a gateway that hangs says nothing sooner (docs/protocol.md). */
const DEAD_MS = 35_000
/** Too short for anybody to see: news that were held up come one after the other, and the first ends the notice. */
const UNSEEN_MS = 500
/** After this a screen is given up and the run goes on. */
const PATIENCE_MS = 40_000
/** A look that comes later than this was starved itself, and says nothing. */
const STARVED_MS = 500

export function startWatch({ truth, screens, journal, pace }: WatchOptions): Watch {
  const calmLagsMs: number[] = []
  const worst: Lag[] = []
  const wrongSince = new Map<string, number>()
  const unsaidSince = new Map<Screen, number>()
  let isOver = false

  const behindMs = ({ polls, tallies }: Screen) =>
    polls.reduce((most, poll) => Math.max(most, truth.behindMs(poll, tallies.get(poll))), 0)

  /** The polls whose definition on screen is not the database's. */
  const misdefined = ({ polls, definitions }: Screen) =>
    polls.filter((slug) => {
      const [shown, poll] = [definitions.get(slug), truth.polls.get(slug)]
      return poll !== undefined && (shown?.question !== poll.question || shown.state !== poll.state)
    })

  const lookAt = (screen: Screen) => {
    const now = Date.now()
    const behind = behindMs(screen)
    const isCalm = journal.current === undefined
    if (isCalm) calmLagsMs.push(behind)
    const silence = journal.current?.silence
    const silentMs = Math.max(behind, silence === undefined ? 0 : now - silence)
    const toldMs = journal.current?.fault.kind === 'gateway stalls' ? DEAD_MS : SILENT_MS
    if (silentMs <= toldMs + NOTICE_MS * pace.slowness || screen.admitsDelay) unsaidSince.delete(screen)
    else if (now - (unsaidSince.get(screen) ?? now) > UNSEEN_MS * pace.slowness) {
      const rule =
        behind === silentMs ? 'a screen is behind and does not say so' : 'the source is silent and a screen does not say so'
      journal.violate(rule, `${silentMs} ms; ${screen.describe()}`)
    } else if (!unsaidSince.has(screen)) unsaidSince.set(screen, now)
    if (isCalm && behind > CALM_BEHIND_MS * pace.slowness) {
      journal.violate('a screen is behind while nothing is wrong', `by ${behind} ms; ${screen.describe()}`)
    }
    for (const slug of screen.polls) {
      const key = `${screen.name} ${slug}`
      if (!isCalm || !misdefined(screen).includes(slug)) wrongSince.delete(key)
      else if (!wrongSince.has(key)) wrongSince.set(key, now)
      else if (now - (wrongSince.get(key) ?? now) > CALM_BEHIND_MS * pace.slowness) {
        const [shown, poll] = [screen.definitions.get(slug), truth.polls.get(slug)]
        journal.violate(
          'a screen shows another definition than the database while nothing is wrong',
          `${key}: ${shown?.question} ${shown?.state}, in the database ${poll?.question} ${poll?.state}; ${screen.describe()}`,
        )
      }
    }
    return behind
  }
  const look = () => {
    worst.push({ at: Date.now(), ms: Math.max(...screens.map(lookAt)) })
  }

  const run = async () => {
    while (!isOver) {
      const everyMs = journal.current === undefined ? CALM_EVERY_MS : EVERY_MS
      const due = Date.now() + everyMs
      await delay(everyMs)
      const isStarved = Date.now() - due > STARVED_MS
      await truth.read()
      if (!isStarved && Date.now() - due < 2 * STARVED_MS) look()
    }
  }
  const running = run()

  /** Whether a screen has all that the database had when the fault was over, and something newer. */
  const isRight = (screen: Screen, then: ReadonlyMap<string, PollTruth>) => {
    const followed = screen.polls.filter((slug) => truth.polls.has(slug))
    const lasting = followed.filter((slug) => LASTING_POLLS.some((poll) => poll === slug))
    const place = (slug: string) => then.get(slug) ?? { epoch: 0, version: 0 }
    const hasAll = followed.every((slug) => {
      const shown = screen.tallies.get(slug)
      return shown !== undefined && !isNewer(place(slug), shown)
    })
    const hasNews = lasting.length === 0 || lasting.some((slug) => isNewer(screen.tallies.get(slug) ?? place(slug), place(slug)))
    return hasAll && hasNews && misdefined(screen).length === 0
  }

  /** When each screen was right, in ms from now; resolves once all are, or when the patience is over. */
  const allRight = async () => {
    const startedAt = Date.now()
    let then = await truth.read()
    const rightAfter = new Map<Screen, number>()
    while (rightAfter.size < screens.length && Date.now() - startedAt < PATIENCE_MS) {
      await delay(EVERY_MS)
      then ??= await truth.read()
      if (then === undefined) continue
      for (const screen of screens) {
        if (!rightAfter.has(screen) && isRight(screen, then)) rightAfter.set(screen, Date.now() - startedAt)
      }
    }
    return rightAfter
  }

  return {
    calmLagsMs,
    worst,
    async recover(chapter) {
      chapter.overAt = Date.now()
      const rightAfter = await allRight()
      chapter.recoveriesMs = screens.map((screen) => rightAfter.get(screen) ?? Infinity)
      for (const screen of screens) {
        const tookMs = rightAfter.get(screen) ?? Infinity
        if (tookMs <= RIGHT_MS * pace.slowness) continue
        const missing = Number.isFinite(tookMs)
          ? ''
          : `; not defined as in the database: ${misdefined(screen).join(', ') || 'none'}`
        journal.violate('a screen was not right in time after a fault', `${tookMs} ms; ${screen.describe()}${missing}`)
      }
      return rightAfter.size === screens.length
    },
    async heal() {
      await allRight()
    },
    async settle() {
      const wrong = () =>
        screens.flatMap((screen) => {
          const off = screen.polls.filter((slug) => {
            const [shown, poll] = [screen.tallies.get(slug), truth.polls.get(slug)]
            if (poll === undefined) return false
            const differs = Object.entries(poll.counts).some(([option, n]) => shown?.counts?.[option] !== n)
            return differs || shown?.version !== poll.version || shown.epoch !== poll.epoch
          })
          const all = [...new Set([...off, ...misdefined(screen)])]
          return all.length === 0 ? [] : [`${all.join(', ')} on ${screen.describe()}`]
        })
      const from = Date.now()
      const deadline = from + RIGHT_MS * pace.slowness
      do await delay(EVERY_MS)
      while ((wrong().length > 0 || truth.readAt < from + EVERY_MS) && Date.now() < deadline)
      return wrong()
    },
    async stop() {
      isOver = true
      await running
    },
  }
}
