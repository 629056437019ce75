/** A process from its first line to its exit code: start, serve until asked to leave, leave in stages. */
import type { Log } from '../telemetry/log.ts'
import type { Clock } from './clock.ts'
import { drain, type DrainProgress, type Stage } from './drain.ts'
import { createPhase, type Phase } from './phase.ts'
import { listenForShutdown, type ShutdownRequest, type SignalSource } from './signals.ts'

/** What a starting service is given. */
export interface ServiceContext {
  readonly phase: Phase
  /** Aborts when the process is asked to leave before it is ready: give up what you are waiting for. */
  readonly starting: AbortSignal
  /** How far the drain has come, for the probes; undefined before it starts. */
  readonly drainProgress: () => DrainProgress | undefined
  /** Asks the process to leave, as a signal would, because of a fault that it cannot work on with. Exit code 1. */
  readonly fail: (error: unknown) => void
  /** Registers how to release what was just acquired. Releases are the last stages, in reverse order of acquisition. */
  readonly release: (name: string, run: (signal: AbortSignal) => void | Promise<void>) => void
}

export interface ServiceOptions {
  /** The process, or a stand-in. */
  readonly host: SignalSource
  readonly log: Log
  readonly clock: Clock
  /** For the whole drain, in ms. */
  readonly deadlineMs: number
}

/** For the drain after a fault: whatever broke may hold anything, so less is waited for. */
const FAULT_DEADLINE_MS = 5_000
/** For each release, in ms: closing a connection that no longer answers. */
const RELEASE_DEADLINE_MS = 2_000

/**
 * Runs a service to its end and resolves to the exit code: 0 when everything was left cleanly, 1 after a fault or when a stage
 * failed or was stuck. `start` connects, builds and listens, and returns the stages of leaving, in order.
 */
export async function runService(options: ServiceOptions, start: (context: ServiceContext) => Promise<Stage[]>): Promise<number> {
  const { host, log, clock } = options
  const phase = createPhase()
  const starting = new AbortController()
  const releases: Stage[] = []
  let progress: DrainProgress | undefined
  const shutdown = Promise.withResolvers<ShutdownRequest>()

  const onRequest = (request: ShutdownRequest) => {
    if (request.kind === 'fault') log.error({ err: request.error }, 'a fault nobody caught: leaving')
    else log.info({ signal: request.signal }, 'asked to leave')
    starting.abort(new Error('asked to leave while starting'))
    shutdown.resolve(request)
  }
  const stopListening = listenForShutdown(host, onRequest, (error) => log.error({ err: error }, 'a fault while leaving'))

  let stages: Stage[] = []
  try {
    stages = await start({
      phase,
      starting: starting.signal,
      drainProgress: () => progress,
      fail: (error) => onRequest({ kind: 'fault', error }),
      release: (name, run) => void releases.unshift({ name: `release ${name}`, deadlineMs: RELEASE_DEADLINE_MS, run }),
    })
    if (!starting.signal.aborted) phase.advance('ready')
  } catch (error) {
    // when it was asked to leave, giving up is what a starting service does
    if (!starting.signal.aborted) {
      log.error({ err: error }, `cannot start: ${error instanceof Error ? error.message : String(error)}`)
      shutdown.resolve({ kind: 'fault', error })
    }
  }

  const request = await shutdown.promise
  phase.advance('draining')
  const report = await drain({
    stages: [...stages, ...releases],
    deadlineMs: request.kind === 'fault' ? Math.min(FAULT_DEADLINE_MS, options.deadlineMs) : options.deadlineMs,
    clock,
    onProgress(now) {
      progress = { stage: now.stage, finished: [...now.finished] }
      const last = now.finished.at(-1)
      if (last !== undefined && last.outcome !== 'done') {
        log.error(
          { stage: last.name, outcome: last.outcome, tookMs: last.tookMs, err: last.error },
          `stage "${last.name}" ${last.outcome}`,
        )
      }
      if (now.stage !== undefined) log.info({ stage: now.stage }, `leaving: ${now.stage}`)
    },
  })
  phase.advance('stopped')
  stopListening()
  const exitCode = request.kind === 'signal' && report.clean ? 0 : 1
  log.info({ tookMs: report.tookMs, exitCode }, 'left')
  return exitCode
}
