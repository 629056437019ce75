import { createTimeline, type Moment, type Timeline } from './timeline.ts'

/** A poll's past as the API keeps it: the counts at the end of each step in which they changed. */
export interface History {
  readonly points: readonly { readonly at: string; readonly total: number }[]
}

const STEPS = { '1s': 1, '10s': 10, '1m': 60, '10m': 600, '1h': 3_600 } as const
export type Step = keyof typeof STEPS

/** The most points in one answer of the API, which are the latest. */
const MAX_POINTS = 1_000
const COARSEST_MS = STEPS['1h'] * 1_000

/**
 * The steps to ask for, finest first, when the past begins within the hour that starts at `firstHour`. The last step surely
 * covers all of it. An earlier one may, since the moment within the hour at which the past begins is unknown.
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

/** Joins the past with the points seen here meanwhile. */
export function continued(history: History, seen: readonly Moment[], now: number): Timeline {
  const timeline = createTimeline()
  // the points of a server whose clock is ahead may lie in this client's future
  const past = history.points.map(({ at, total }) => ({ at: Math.min(Date.parse(at), now), total }))
  const since = past.at(-1)?.at ?? 0
  for (const { at, total } of [...past, ...seen.filter((moment) => moment.at >= since)]) timeline.add(at, total)
  return timeline
}
