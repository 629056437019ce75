/** Shuts down in stages. Each stage has its own deadline, all share one, and a stuck stage does not stop those after it. */
import type { Clock } from './clock.ts'

/** One step of a shutdown. `run` gives up when its signal aborts; if it does not, the shutdown goes on without it. */
export interface Stage {
  readonly name: string
  /** The longest that this stage may take, in ms. Default: what is left of the total. */
  readonly deadlineMs?: number
  run(signal: AbortSignal): void | Promise<void>
}

export type StageOutcome = 'done' | 'failed' | 'stuck'

export interface StageReport {
  readonly name: string
  readonly outcome: StageOutcome
  readonly tookMs: number
  readonly error?: unknown
}

/** How far the drain has come. */
export interface DrainProgress {
  /** The stage that is running, or undefined before the first and after the last. */
  readonly stage: string | undefined
  readonly finished: readonly StageReport[]
}

export interface DrainReport {
  /** Whether every stage ended well and in time. */
  readonly clean: boolean
  readonly tookMs: number
  readonly stages: readonly StageReport[]
}

export interface DrainOptions {
  readonly stages: readonly Stage[]
  /** For all stages together, in ms. */
  readonly deadlineMs: number
  readonly clock: Clock
  /** Called when a stage starts and when it has ended. */
  readonly onProgress?: (progress: DrainProgress) => void
}

/** The part of the total that is reserved for each later stage, in ms, so that a stuck stage cannot starve them. */
const RESERVE_MS = 100

/** Runs the stages one after the other. Never rejects: faults are in the report. */
export async function drain(options: DrainOptions): Promise<DrainReport> {
  const { stages, clock } = options
  const startedAt = clock.now()
  const reserveMs = Math.min(RESERVE_MS, options.deadlineMs / (2 * stages.length))
  const finished: StageReport[] = []
  for (const [index, stage] of stages.entries()) {
    options.onProgress?.({ stage: stage.name, finished })
    const leftMs = startedAt + options.deadlineMs - clock.now() - (stages.length - index - 1) * reserveMs
    const budgetMs = Math.max(reserveMs, Math.min(stage.deadlineMs ?? Infinity, leftMs))
    finished.push(await runStage(stage, budgetMs, clock))
  }
  options.onProgress?.({ stage: undefined, finished })
  return { clean: finished.every((stage) => stage.outcome === 'done'), tookMs: clock.now() - startedAt, stages: finished }
}

async function runStage(stage: Stage, budgetMs: number, clock: Clock): Promise<StageReport> {
  const startedAt = clock.now()
  const abort = new AbortController()
  const timer = new AbortController()
  const report = (outcome: StageOutcome, error?: unknown): StageReport => ({
    name: stage.name,
    outcome,
    tookMs: clock.now() - startedAt,
    ...(error === undefined ? {} : { error }),
  })
  const work = Promise.resolve()
    .then(() => stage.run(abort.signal))
    .then(
      () => report('done'),
      (error: unknown) => report(abort.signal.aborted ? 'stuck' : 'failed', error),
    )
  const timeout = clock.wait(budgetMs, timer.signal).then(() => report('stuck'))
  const outcome = await Promise.race([work, timeout])
  timer.abort()
  abort.abort(new Error(`stage ${stage.name} has ended`))
  return outcome
}
