/** A process on a core of its own, spoken to in lines. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { createGuard } from '../../e2e/support/guard.ts'

export interface PinnedProcessOptions {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Where it runs; undefined where processes cannot be pinned. */
  readonly core: number | undefined
}

export interface PinnedProcess {
  readonly pid: number
  /** The next line on its standard output. Rejects when it ends first or the time (30 s) is over. */
  line(timeoutMs?: number): Promise<string>
  /** Writes a line to its standard input. */
  write(line: string): void
  /** Kills it and waits until it is gone. */
  stop(): Promise<void>
}

export function startPinned({ name, command, args, env = {}, core }: PinnedProcessOptions): PinnedProcess {
  const [program, list] = core === undefined ? [command, args] : ['taskset', ['-c', String(core), command, ...args]]
  const child = spawn(program, list, { env: { PATH: process.env['PATH'] ?? '', ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
  const gone = once(child, 'exit')
  // taskset becomes the command, so that this is its pid
  const guard = createGuard(['true'])
  guard.watch(child.pid)
  const lines: string[] = []
  let stderr = ''
  let look = () => {}
  let ended = false
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-2_000)))
  createInterface(child.stdout).on('line', (line) => {
    lines.push(line)
    look()
  })
  child.stdin.on('error', () => {}) // whoever writes to it waits for a line, and is told there
  const end = () => {
    ended = true
    look()
  }
  gone.then(end, (error: unknown) => {
    stderr += String(error)
    end()
  })

  return {
    get pid() {
      if (child.pid === undefined) throw new Error(`${name} could not be started: ${stderr}`)
      return child.pid
    },
    async line(timeoutMs = 30_000) {
      const until = performance.now() + timeoutMs
      for (;;) {
        const next = lines.shift()
        if (next !== undefined) return next
        if (ended) throw new Error(`${name} ended: ${stderr}`)
        const leftMs = until - performance.now()
        if (leftMs <= 0) throw new Error(`${name} has said nothing for ${timeoutMs} ms: ${stderr}`)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, leftMs)
          look = () => {
            clearTimeout(timer)
            resolve()
          }
        })
      }
    },
    write: (line) => void child.stdin.write(`${line}\n`),
    async stop() {
      child.kill('SIGKILL')
      await gone.catch(() => {})
      guard.release()
    },
  }
}
