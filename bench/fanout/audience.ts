/** The load generator, as the bench talks to it: thousands of clients in one process of their own. */
import { startPinned, type PinnedProcess } from './pinned-process.ts'

/** How to run the load generator: compiled, or on Node where there is no compiler. */
export interface LoadProgram {
  readonly kind: 'C' | 'Node'
  readonly command: string
  readonly args: readonly string[]
}

export interface Arrival {
  /** Clients that are live now: those that have received their tallies. */
  readonly live: number
  readonly opened: number
  /** Answers of 503, each tried again. */
  readonly refused: number
  readonly failed: number
  readonly unfinished: number
  readonly us: number
  readonly p50Us: number
  readonly p99Us: number
}

export interface Delivery {
  readonly live: number
  /** Connections that ended since the last reset. */
  readonly ended: number
  readonly tallies: number
  readonly frames: number
  readonly bytes: number
  /** Tallies on the client that got least, and on the one that got most. */
  readonly least: number
  readonly most: number
  /** Age of a tally on arrival: quantiles over all of them. */
  readonly p50Us: number
  readonly p99Us: number
  readonly maxUs: number
}

export interface Probing {
  readonly probes: number
  readonly bad: number
  readonly p50Us: number
  readonly p99Us: number
  readonly maxUs: number
}

export interface ConnectOptions {
  readonly count: number
  readonly inFlight: number
  readonly path: string
  /** A client is live once it has so many tallies. */
  readonly tallies?: number
  /** The largest segment (TCP MSS) the clients announce, and their receive buffer, in bytes; the kernel's choice when 0. */
  readonly segmentBytes?: number
  readonly receiveBytes?: number
  readonly timeoutMs?: number
}

export interface Audience {
  readonly pid: number
  connect(options: ConnectOptions): Promise<Arrival>
  reset(): Promise<void>
  /** Resolves once so many tallies have arrived since the reset, to the time of the last, in µs of the monotonic clock. */
  received(tallies: number, timeoutMs?: number): Promise<number>
  /** Reads on for so long. */
  run(ms: number): Promise<void>
  report(): Promise<Delivery>
  /** From now on the first so many clients do not read. */
  stall(count: number): Promise<void>
  close(): Promise<void>
  probe(options: { readonly ms: number; readonly gapMs: number; readonly path: string }): Promise<Probing>
  stop(): Promise<void>
}

export interface AudienceOptions {
  readonly program: LoadProgram
  readonly port: number
  /** Speak Engine.IO, too. */
  readonly engineIo: boolean
  readonly core: number | undefined
}

export function startAudience({ program, port, engineIo, core }: AudienceOptions): Audience {
  const load: PinnedProcess = startPinned({
    name: 'the load generator',
    command: program.command,
    args: [...program.args, String(port), ...(engineIo ? ['engine.io'] : [])],
    core,
  })
  const ask = async <T>(command: string, timeoutMs = 10_000): Promise<T> => {
    load.write(command)
    return JSON.parse(await load.line(timeoutMs)) as T
  }
  return {
    pid: load.pid,
    connect: ({ count, inFlight, path, tallies = 1, segmentBytes = 0, receiveBytes = 0, timeoutMs = 30_000 }) =>
      ask(`connect ${count} ${inFlight} ${tallies} ${segmentBytes} ${receiveBytes} ${timeoutMs} ${path}`, timeoutMs + 10_000),
    reset: () => ask('reset'),
    async received(tallies, timeoutMs = 15_000) {
      const got = await ask<{ tallies: number; lastAt: number }>(`await ${tallies} ${timeoutMs}`, timeoutMs + 10_000)
      if (got.tallies < tallies) throw new Error(`only ${got.tallies} of ${tallies} tallies arrived in ${timeoutMs} ms`)
      return got.lastAt
    },
    run: (ms) => ask(`run ${ms}`, ms + 10_000),
    report: () => ask('report'),
    stall: (count) => ask(`stall ${count}`),
    close: () => ask('close', 30_000),
    probe: ({ ms, gapMs, path }) => ask(`probe ${ms} ${gapMs} ${path}`, ms + 10_000),
    stop: () => load.stop(),
  }
}
