/** The answers of `/live`, `/ready` and `/health` (docs/drain.md), as data. Answering does no I/O. */
import type { DrainProgress } from './drain.ts'
import type { Phase } from './phase.ts'

/** What a service knows about one of its dependencies, as last seen. */
export interface CheckResult {
  readonly ok: boolean
  /** When it was last seen to work, in monotonic ms; undefined if never. */
  readonly at?: number | undefined
  readonly error?: string
}

export interface Check {
  readonly name: string
  /** A service is not ready while a critical check fails, and `degraded` while another check fails. */
  readonly critical: boolean
  read(): CheckResult
}

export interface ProbeAnswer {
  readonly status: 200 | 503
  readonly body: Readonly<Record<string, unknown>>
}

export interface Probes {
  /** Is the process working? Stays 200 while draining. */
  live(): ProbeAnswer
  /** May a balancer send work here? 503 from the moment the drain starts. */
  ready(): ProbeAnswer
  /** Should the container be kept? 503 until first ready, from then on the same as `live`. */
  health(): ProbeAnswer
}

export interface ProbeOptions {
  readonly phase: Phase
  readonly checks: readonly Check[]
  /** How late the event loop runs at present, in ms. */
  readonly loopDelayMs: () => number
  /** A process whose event loop runs later than this, in ms, counts as stalled. */
  readonly maxLoopDelayMs?: number
  readonly now: () => number
  /** Shown while draining. */
  readonly drainProgress: () => DrainProgress | undefined
  /** Further figures for the body, such as open sockets. */
  readonly details?: () => Readonly<Record<string, unknown>>
}

export function createProbes(options: ProbeOptions): Probes {
  const { phase, now, maxLoopDelayMs = 2_000 } = options

  const describe = () => {
    const progress = options.drainProgress()
    return {
      phase: phase.current,
      loopDelayMs: Math.round(options.loopDelayMs()),
      ...options.details?.(),
      ...(progress === undefined
        ? {}
        : {
            drain: {
              stage: progress.stage,
              finished: progress.finished.map(({ name, outcome, tookMs }) => ({ name, outcome, tookMs })),
            },
          }),
    }
  }

  const live = (): ProbeAnswer => {
    const works = options.loopDelayMs() <= maxLoopDelayMs
    return { status: works ? 200 : 503, body: { status: works ? 'ok' : 'stalled', ...describe() } }
  }

  return {
    live,
    ready() {
      const results = options.checks.map((check) => ({ check, result: check.read() }))
      const failed = results.filter(({ result }) => !result.ok)
      const ready = phase.current === 'ready' && !failed.some(({ check }) => check.critical)
      const checks = Object.fromEntries(
        results.map(({ check, result }) => [
          check.name,
          {
            ok: result.ok,
            critical: check.critical,
            ageMs: result.at === undefined ? null : Math.round(now() - result.at),
            ...(result.error === undefined ? {} : { error: result.error }),
          },
        ]),
      )
      const status = ready ? (failed.length > 0 ? 'degraded' : 'ok') : 'unavailable'
      return { status: ready ? 200 : 503, body: { status, ...describe(), checks } }
    },
    health() {
      return phase.reached('ready') ? live() : { status: 503, body: { status: 'starting', ...describe() } }
    },
  }
}
