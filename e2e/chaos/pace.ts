/** How slow the machine is at this moment, since other work on it comes and goes during a run. */
import { quantile } from './flatness.ts'

export interface Pace {
  /** By how much bounds of time are stretched now: from 1 to 4. */
  readonly slowness: number
  /** The highest that it has been. */
  readonly most: number
  stop(): void
}

const EVERY_MS = 1_000
/** So many samples count, the slower ones of them. */
const RECENT = 12
const QUANTILE = 0.75
/** A bound that is stretched further than this finds no fault any more. */
const MAX_SLOWNESS = 4
/** Some milliseconds of work on a core of its own. */
const ROUNDS = 4_000_000
const TRIALS = 30

/** `slowness` is what `calibrate` measured; from then on one short piece of work each second tells what has changed. */
export function startPace(slowness: number): Pace {
  const undisturbedMs = Math.min(...Array.from({ length: TRIALS }, work))
  const recent: number[] = []
  let now = slowness
  let most = slowness
  const timer = setInterval(() => {
    recent.push(work() / undisturbedMs)
    if (recent.length > RECENT) recent.shift()
    now = Math.min(MAX_SLOWNESS, Math.max(slowness, quantile(recent, QUANTILE)))
    most = Math.max(most, now)
  }, EVERY_MS)
  return {
    get slowness() {
      return now
    },
    get most() {
      return most
    },
    stop: () => clearInterval(timer),
  }
}

/** How long a fixed piece of work takes, in ms: longer, the more others want the core. */
function work(): number {
  const startedAt = performance.now()
  let mixed = 1
  for (let round = 0; round < ROUNDS; round += 1) mixed = Math.imul(mixed ^ round, 0x9e3779b1)
  return mixed === 0 ? 0 : performance.now() - startedAt
}
