import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const execute = promisify(execFile)

/** Runs a command to its end and gives its standard output, trimmed. Throws with what it said when it fails. */
export async function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  try {
    const { input, ...rest } = options
    const running = execute(command, args, { maxBuffer: 64 * 1024 * 1024, ...rest })
    running.child.stdin?.end(input)
    const { stdout } = await running
    return stdout.trim()
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : ''
    throw new Error(`${command} ${args.join(' ')} failed: ${said}`, { cause: error })
  }
}

export interface RunOptions {
  readonly cwd?: string
  readonly env?: NodeJS.ProcessEnv
  readonly uid?: number
  readonly gid?: number
  readonly timeout?: number
  /** What it reads from standard input; nothing unless told. */
  readonly input?: string
}
