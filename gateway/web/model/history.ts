import { createTimeline, type Moment, type Timeline } from './timeline.ts'

/** What the API keeps of a poll's past: the standing at the end of each step in which it changed. */
export interface History {
  readonly points: readonly { readonly at: string; readonly total: number }[]
}

const STEPS = { '1s': 1, '10s': 10, '1m': 60, '10m': 600, '1h': 3_600 } as const
export type Step = keyof typeof STEPS

/** More points than the line has, so that none is missing, and no more than the API gives at once. */
const POINTS = 900

/** The finest step in which a past of this length still fits into one answer. */
export function stepFor(ageMs: number): Step {
  const found = Object.entries(STEPS).find(([, seconds]) => ageMs <= seconds * 1_000 * POINTS)
  return (found?.[0] ?? '1h') as Step
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
