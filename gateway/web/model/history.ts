import { createTimeline, type Moment, type Timeline } from './timeline.ts'

/** What the API keeps of a poll's past: the standing at the end of each step in which it changed. */
export interface History {
  readonly points: readonly { readonly at: string; readonly total: number }[]
}

const STEPS = { '1s': 1, '10s': 10, '1m': 60, '10m': 600, '1h': 3_600 } as const
export type Step = keyof typeof STEPS

/** What the API gives at once, at most: the latest. */
const MAX_POINTS = 1_000
const COARSEST_MS = STEPS['1h'] * 1_000

/**
 * The steps worth asking for, finest first, when the past began within the hour that starts at `firstHour`: the last of them holds all of
 * it for certain, and one before it may, since it is not known when in that hour it began.
 */
export function stepsFor(firstHour: number, now: number): readonly Step[] {
  const fits = ([, seconds]: [string, number], ageMs: number) => ageMs < seconds * 1_000 * MAX_POINTS
  const steps = Object.entries(STEPS)
  const atBest = steps.findIndex((step) => fits(step, now - firstHour - COARSEST_MS))
  const atWorst = steps.findIndex((step) => fits(step, now - firstHour))
  if (atBest < 0) return ['1h']
  return steps.slice(atBest, atWorst < 0 ? undefined : atWorst + 1).map(([step]) => step as Step)
}

/** Whether the answer reaches back to the beginning. */
export function isWhole(history: History): boolean {
  return history.points.length < MAX_POINTS
}

/** A line that starts with the past and goes on with what was seen here meanwhile. */
export function continued(history: History, seen: readonly Moment[], now: number): Timeline {
  const timeline = createTimeline()
  // a server whose clock is ahead has points that are not yet for us
  const past = history.points.map(({ at, total }) => ({ at: Math.min(Date.parse(at), now), total }))
  const since = past.at(-1)?.at ?? 0
  for (const { at, total } of [...past, ...seen.filter((moment) => moment.at >= since)]) timeline.add(at, total)
  return timeline
}
