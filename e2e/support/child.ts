import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { isAbsolute, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

/** One line of a service's JSON log. */
export interface LogLine {
  readonly msg?: string
  readonly [field: string]: unknown
}

export interface Exit {
  /** The exit code, or null when a signal ended the process. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** From the call of `stop` to the exit, or from the start when nobody stopped it, in milliseconds. */
  readonly tookMs: number
}

export interface ChildOptions {
  /** The program, by its path from the project's root, such as `gateway/main.ts`, or by an absolute one. */
  readonly entry: string
  readonly args?: readonly string[]
  /** Its whole environment, save PATH and the like: nothing of the developer's own settings leaks into a test. */
  readonly env?: Readonly<Record<string, string>>
  /** Where it runs; the project's root unless told. */
  readonly cwd?: string
}

export interface Waiting {
  readonly timeoutMs?: number
}

/** A service running as a process of its own. */
export interface Child {
  readonly pid: number
  /** What it wrote to standard output so far, line by line. */
  readonly lines: readonly string[]
  /** Those of the lines that are JSON objects. */
  readonly logs: readonly LogLine[]
  /** What it wrote to standard error so far. */
  readonly stderr: string
  readonly exited: Promise<Exit>
  /** The first log line, past or to come, that matches. Rejects when the process ends or the time (10 s) is over first. */
  logged(matches: (line: LogLine) => boolean, waiting?: Waiting): Promise<LogLine>
  /** Resolves once `url` answers 200. Rejects when the process ends or the time (20 s) is over first. */
  answers(url: string, waiting?: Waiting): Promise<void>
  /** Sends a signal and does not wait: SIGSTOP, SIGCONT, a second SIGTERM. */
  send(signal: NodeJS.Signals): void
  /** Sends a signal (SIGTERM unless told) and waits for the exit; after `timeoutMs` (30 s) it kills the process and rejects. */
  stop(signal?: NodeJS.Signals, waiting?: Waiting): Promise<Exit>
  /** Kills the process if it still runs. */
  [Symbol.asyncDispose](): Promise<void>
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const INHERITED = ['PATH', 'HOME', 'TMPDIR', 'LANG', 'NODE_EXTRA_CA_CERTS']

/** Starts a program of the project with the Node that runs this. Whoever starts it stops it: `await using child = startChild(…)`. */
export function startChild({ entry, args = [], env = {}, cwd = ROOT }: ChildOptions): Child {
  const startedAt = performance.now()
  const inherited = INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]))
  const child = spawn(process.execPath, [isAbsolute(entry) ? entry : join(ROOT, entry), ...args], {
    cwd,
    env: { ...Object.fromEntries(inherited), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const lines: string[] = []
  const logs: LogLine[] = []
  const readers = new Set<(line: LogLine) => void>()
  let stderr = ''
  let stoppedAt: number | undefined

  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  createInterface(child.stdout).on('line', (line) => {
    lines.push(line)
    const log = parsed(line)
    if (log === undefined) return
    logs.push(log)
    for (const reader of readers) reader(log)
  })
  const closed = once(child, 'close')
  const exited = once(child, 'exit').then(async ([code, signal]): Promise<Exit> => {
    const tookMs = performance.now() - (stoppedAt ?? startedAt)
    // the last log lines are read once the pipes are closed, which a process that it left behind may prevent
    await Promise.race([closed, delay(1_000, undefined, { ref: false })])
    return { code, signal, tookMs }
  })
  closed.catch(() => {})
  exited.catch(() => {}) // rejects when the program cannot be started, which is no fault where nobody awaits it

  function told(what: string): Error {
    return new Error(`${entry} ${what}\n${[...lines.slice(-20), stderr.slice(-2_000)].join('\n')}`)
  }

  /** The result of `wanted`, unless the process ends or the time is over first. */
  async function before<T>(wanted: (signal: AbortSignal) => Promise<T>, what: string, timeoutMs: number): Promise<T> {
    const over = new AbortController()
    try {
      return await Promise.race([
        wanted(over.signal),
        exited.then(({ code, signal }) => Promise.reject(told(`ended (${code ?? signal}) before it ${what}`))),
        delay(timeoutMs, undefined, { signal: over.signal }).then(() =>
          Promise.reject(told(`has not ${what} in ${timeoutMs} ms`)),
        ),
      ])
    } finally {
      over.abort()
    }
  }

  return {
    get pid() {
      if (child.pid === undefined) throw told('could not be started')
      return child.pid
    },
    lines,
    logs,
    get stderr() {
      return stderr
    },
    exited,
    logged(matches, { timeoutMs = 10_000 } = {}) {
      const past = logs.find(matches)
      if (past !== undefined) return Promise.resolve(past)
      return before(
        (signal) =>
          new Promise((resolve) => {
            const reader = (line: LogLine) => matches(line) && resolve(line)
            readers.add(reader)
            signal.addEventListener('abort', () => readers.delete(reader))
          }),
        'logged the line',
        timeoutMs,
      )
    },
    answers(url, { timeoutMs = 20_000 } = {}) {
      return before((signal) => answering(url, signal), `answered 200 at ${url}`, timeoutMs)
    },
    send(signal) {
      child.kill(signal)
    },
    async stop(signal = 'SIGTERM', { timeoutMs = 30_000 } = {}) {
      stoppedAt ??= performance.now()
      child.kill(signal)
      const cut = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
      const exit = await exited
      clearTimeout(cut)
      if (signal !== 'SIGKILL' && exit.signal === 'SIGKILL') throw told(`did not leave within ${timeoutMs} ms of ${signal}`)
      return exit
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited.catch(() => {})
    },
  }
}

async function answering(url: string, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    const answer = await fetch(url, { signal }).catch(() => undefined)
    await answer?.body?.cancel()
    if (answer?.status === 200) return
    await delay(20)
  }
}

function parsed(line: string): LogLine | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    return JSON.parse(line) as LogLine
  } catch {
    return undefined
  }
}
