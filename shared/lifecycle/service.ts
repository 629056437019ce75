/** Runs a process from its start to its exit code: start, serve until a shutdown is requested, shut down in stages. */
import type { Log } from '../telemetry/log.ts'
import type { Clock } from './clock.ts'
import { drain, type DrainProgress, type Stage } from './drain.ts'
import { createPhase, type Phase } from './phase.ts'
import { listenForShutdown, type ShutdownRequest, type SignalSource } from './signals.ts'

/** What a starting service is given. */
export interface ServiceContext {
  readonly phase: Phase
  /** Aborts when a shutdown is requested before the process is ready, so that pending waits end. */
  readonly starting: AbortSignal
  /** How far the drain has come, for the probes; undefined before it starts. */
  readonly drainProgress: () => DrainProgress | undefined
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

/** The deadline of the drain after a fault, in ms. It is short, since the fault may have left anything broken. */
const FAULT_DEADLINE_MS = 5_000
/** How long a start that is to end may go on with what it waits for, in ms. */
const GIVE_UP_START_MS = 2_000
/** The deadline of each release, in ms, such as closing a connection that no longer answers. */
const RELEASE_DEADLINE_MS = 2_000

/**
 * Runs a service to its end and resolves to the exit code: 0 when every stage ended well, 1 after a fault or when a stage failed
 * or was stuck. `start` connects, builds and listens, and returns the stages of the shutdown, in order.
 */
export async function runService(options: ServiceOptions, start: (context: ServiceContext) => Promise<Stage[]>): Promise<number> {
  const { host, log, clock } = options
  const phase = createPhase()
  const starting = new AbortController()
  const releases: Stage[] = []
  let progress: DrainProgress | undefined
  const shutdown = Promise.withResolvers<ShutdownRequest>()
  const givenUp = Promise.withResolvers<never>()

  const onRequest = (request: ShutdownRequest) => {
    if (request.kind === 'fault') log.error({ err: request.error }, 'shutdown requested by a fault that was not caught')
    else log.info({ signal: request.signal }, 'shutdown requested')
    starting.abort(new Error('shutdown requested during the start'))
    void clock.wait(GIVE_UP_START_MS).then(() => givenUp.reject(starting.signal.reason))
    shutdown.resolve(request)
  }
  const stopListening = listenForShutdown(host, onRequest, (error) => log.error({ err: error }, 'a fault during the shutdown'))

  let stages: Stage[] = []
  try {
    const started = start({
      phase,
      starting: starting.signal,
      drainProgress: () => progress,
      release: (name, run) => void releases.unshift({ name: `release ${name}`, deadlineMs: RELEASE_DEADLINE_MS, run }),
    })
    stages = await Promise.race([started, givenUp.promise])
    if (!starting.signal.aborted) phase.advance('ready')
  } catch (error) {
    // after a requested shutdown the start fails on purpose
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
      if (now.stage !== undefined) log.info({ stage: now.stage }, `shutdown stage: ${now.stage}`)
    },
  })
  phase.advance('stopped')
  stopListening()
  const exitCode = request.kind === 'signal' && report.clean ? 0 : 1
  log.info({ tookMs: report.tookMs, exitCode }, 'stopped')
  return exitCode
}
