/** One moment of a poll: when, in milliseconds, and how many votes there were. */
export interface Moment {
  readonly at: number
  readonly total: number
}

export interface Timeline {
  /** Notes the total. It merges moments that are too close together, so that the memory does not grow. */
  add(at: number, total: number): void
  readonly moments: readonly Moment[]
  /** The line as an SVG path in a box of this size, up to now; empty until there is something to see. */
  path(width: number, height: number, now: number): string
}

/** The total over time, in at most `capacity` moments. When they are used up, it drops every other one. */
export function createTimeline(capacity = 240): Timeline {
  let moments: Moment[] = []
  let stepMs = 0
  return {
    get moments() {
      return moments
    },
    add(at, total) {
      const last = moments.at(-1)
      if (last?.total === total) return
      const before = moments.at(-2)
      // within one step only the newest counts
      if (last && before && at - before.at < stepMs) moments.pop()
      moments.push({ at, total })
      if (moments.length <= capacity) return
      moments = moments.filter((_, index) => index % 2 === 0 || index === moments.length - 1)
      stepMs = ((moments.at(-1)?.at ?? 0) - (moments[0]?.at ?? 0)) / (capacity / 2)
    },
    path(width, height, now) {
      const [first] = moments
      const last = moments.at(-1)
      if (!first || !last || now <= first.at) return ''
      const most = Math.max(1, ...moments.map(({ total }) => total))
      const x = (at: number) => round(((at - first.at) / (now - first.at)) * width)
      const y = (total: number) => round(height - (total / most) * height)
      const line = moments.map(({ at, total }) => `L${x(at)} ${y(total)}`).join('')
      return `M${line.slice(1)}L${round(width)} ${y(last.total)}`
    },
  }
}

const round = (value: number) => Math.round(value * 10) / 10
