/** Runs many schedules, makes a failing one as small as it can, and reports. */
import { createHash } from 'node:crypto'
import { keeping, type Plan, planOf } from './plan.ts'
import { type Outcome, runSchedule } from './schedule.ts'

export interface Finding {
  readonly seed: number
  readonly promise: string
  readonly what: string
  /** The places of the faults that it takes, of those that the seed plans. */
  readonly faults: readonly number[]
  /** All of it for people, and how to run it again. */
  readonly text: string
}

export interface Report {
  readonly schedules: number
  readonly findings: readonly Finding[]
  readonly met: Readonly<Record<string, number>>
  readonly steps: number
  readonly virtualMs: number
  /** Differs as soon as anything happens otherwise in any of the schedules. */
  readonly trace: string
}

export interface SimulateOptions {
  readonly seed: number
  readonly schedules: number
  /** End after so many seeds that break something. */
  readonly maxFindings: number
  /** End when it returns true: for a run that has only so much time. */
  readonly isOver?: () => boolean
  /** Called with each finding as soon as it is made. */
  readonly onFinding?: (finding: Finding) => void
}

export async function simulate(options: SimulateOptions): Promise<Report> {
  const { seed: first, maxFindings, isOver = () => false, onFinding = () => {} } = options
  const findings: Finding[] = []
  const met: Record<string, number> = {}
  let [schedules, steps, virtualMs, trace] = [0, 0, 0, '']
  for (let seed = first; seed < first + options.schedules && findings.length < maxFindings && !isOver(); seed++) {
    const plan = planOf(seed)
    const outcome = await runSchedule(plan)
    schedules += 1
    steps += outcome.steps
    virtualMs += outcome.tookMs
    trace = createHash('sha256')
      .update(trace + outcome.trace)
      .digest('hex')
    for (const [state, times] of outcome.sometimes) met[state] = (met[state] ?? 0) + times
    if (outcome.violation === undefined) continue
    const finding = await shrink(plan, outcome)
    findings.push(finding)
    onFinding(finding)
  }
  return { schedules, findings, met, steps, virtualMs, trace }
}

/** Leaves out one fault after the other, as long as the same promise is broken. */
async function shrink(plan: Plan, { violation }: Outcome): Promise<Finding> {
  const { promise = '', what = '' } = violation ?? {}
  let faults = plan.faults.map((_, place) => place)
  let smallest = what
  for (const place of faults) {
    const fewer = faults.filter((other) => other !== place)
    const { violation: other } = await runSchedule(keeping(plan, fewer))
    if (other?.promise !== promise) continue
    faults = fewer
    smallest = other.what
  }
  const finding = { seed: plan.seed, promise, what: smallest, faults }
  return { ...finding, text: described(finding) }
}

/** What is printed of a finding: the broken promise, the schedule and how to run it again. */
function described({ seed, promise, what, faults }: Omit<Finding, 'text'>): string {
  const plan = planOf(seed)
  const lines = keeping(plan, faults).faults.map(
    ({ kind, at, forMs, target }) => `    ${at} ms: ${kind}, for ${forMs} ms (target ${target})`,
  )
  return [
    `\nBroken: ${promise}`,
    `  ${what}`,
    `  ${plan.polls} polls, ${plan.screens} screens, ${plan.voters} voters that vote every ${plan.pauseMs} ms, for ${plan.workMs} ms; it takes`,
    ...(lines.length > 0 ? lines : ['    no fault at all']),
    `  npm run simulate -- --seed ${seed} --only ${faults.join(',') || 'none'} --logs`,
  ].join('\n')
}
