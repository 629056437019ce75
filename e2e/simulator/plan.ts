/** What a seed stands for: the shape of a world and the faults that happen to it. */
import { createRandom } from '../chaos/random.ts'
import { type FaultKind, FAULTS } from './faults.ts'

export interface Fault {
  readonly kind: FaultKind
  readonly at: number
  readonly forMs: number
  /** Who it happens to. */
  readonly target: number
}

export interface Plan {
  readonly seed: number
  readonly polls: number
  readonly screens: number
  readonly voters: number
  /** How long a voter waits between two votes, on average. */
  readonly pauseMs: number
  /** Until when people vote and faults happen. */
  readonly workMs: number
  /** When the last voter ends, if before: what happens then, no later vote heals. */
  readonly voteUntilMs: number
  /** In the end a page is loaded anew, from a gateway that has just started. */
  readonly isFreshInTheEnd: boolean
  readonly faults: readonly Fault[]
}

/** After these a screen may need half a minute to notice that its feed is dead. */
export const LONG: ReadonlySet<FaultKind> = new Set<FaultKind>([
  'gateway vanishes',
  "screen's connection dies without a word",
  'screen loses its gateway',
  'gateway stops',
])
/** Nobody may notice these. */
export const QUIET: ReadonlySet<FaultKind> = new Set<FaultKind>([
  'gateway is replaced',
  'backend is replaced',
  'a wall clock steps',
  'screen comes',
])

const KINDS = Object.keys(FAULTS) as FaultKind[]
const SILENT = new Set<FaultKind>(['gateway vanishes', "screen's connection dies without a word"])
const UNNOTICED: FaultKind = 'postgres loses commits'
/** Before this everything starts, in ms. */
const QUIET_START_MS = 900

/** Mixtures in which rare states lie. */
const RECIPES: readonly (readonly FaultKind[])[] = [
  ['gateway loses redis', "screen's connections are cut", 'screen wakes'],
  ['gateway loses redis', 'gateway is replaced'],
  ['redis comes back older', 'gateway is replaced', 'screen comes'],
  ['redis cuts connections', 'redis dies'],
  ['postgres fails over and loses commits', 'gateway is replaced', "screen's connections are cut"],
  ['poll is removed', 'redis cuts connections', 'gateway loses redis'],
  ['poll is reset', 'all gateways are replaced', 'screen is far away'],
  ['backend stops', 'backend loses redis', 'backend is replaced'],
  ['backend is replaced', 'postgres is slow', 'postgres stalls'],
  ['all lose redis', 'redis stalls', 'redis refuses writes'],
  ['balancer stalls', 'all gateways are replaced', "screen's connections are cut"],
  ['screen freezes', 'screen loses its gateway', 'screen is far away'],
  ['gateway is cut off', 'gateway is replaced'],
]

/** The same plan for the same seed. Each has few kinds of faults, others than its neighbours', so that every mixture comes in time. */
export function planOf(seed: number): Plan {
  const random = createRandom(seed)
  // a silence of half a minute takes many steps in which nothing else happens
  const possible = KINDS.filter((kind) => !SILENT.has(kind) || random.next() < 0.3)
  const chosen = random.next() < 0.4 ? random.pick(RECIPES) : random.shuffled(possible).slice(0, random.between(1, 4))
  // how far the database was, Redis is told each second: what was lost of the last one nobody knows once all backends are dead
  const kinds = chosen.includes(UNNOTICED) ? chosen.filter((kind) => !/redis|backend (dies|is replaced)/.test(kind)) : chosen
  // most are short; in long ones an outage lasts until it has to be told
  const isLong = random.next() < 0.15
  const workMs = isLong ? random.between(9_000, 13_000) : random.between(2_000, 4_500)
  const voteUntilMs = workMs * random.pick([0.4, 0.7, 1])
  let last = 0
  const faults = Array.from({ length: random.between(1, 6) }, (): Fault => {
    // every other one comes shortly after the one before, on top of its consequences, or shortly before the last vote, which no later
    // one follows
    const latest = workMs - 400
    const early = random.pick([random.between(QUIET_START_MS, latest), last, voteUntilMs - 500])
    const at = Math.min(latest, Math.max(QUIET_START_MS, Math.round(early) + random.between(0, 800)))
    last = at
    // short ones are as likely as long ones
    const forMs = isLong && random.next() < 0.5 ? workMs : Math.round(50 * 100 ** random.next())
    return { kind: random.pick(kinds), at, forMs: Math.min(workMs - at, forMs), target: random.between(0, 1_000_000) }
  })
  return {
    seed,
    polls: random.between(1, 2),
    screens: random.between(1, 3),
    voters: random.between(1, 3),
    pauseMs: random.pick([100, 100, 300, 1_000]),
    workMs,
    voteUntilMs,
    isFreshInTheEnd: random.next() < 0.35,
    faults: faults.toSorted((a, b) => a.at - b.at),
  }
}

/** The plan with some of its faults alone, by their places. */
export function keeping(plan: Plan, places: readonly number[]): Plan {
  return { ...plan, faults: plan.faults.filter((_, place) => places.includes(place)) }
}
