import { spawn } from 'node:child_process'

/** Cleans up after this process, however it ends. */
export interface Guard {
  /** From now on the guard also stops this process (a group of them when negative); none when undefined. */
  watch(pid: number | undefined): void
  /** To be called once everything is cleaned up: the guard ends and does nothing. */
  release(): void
}

// The pipe from this process ends when this process does, even by SIGKILL. The last line read is the process to stop.
const SCRIPT = `
while read -r line; do [ "$line" = released ] && exit 0; pid=$line; done
if [ -n "$pid" ]; then
  kill -TERM "$pid" && kill -CONT "$pid"
  for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$pid" || break; sleep 0.1; done
  kill -QUIT "$pid" && sleep 0.5
  kill -KILL "$pid"
fi
"$@"
`

/**
 * Starts a shell that outlives this process by moments: once this process is gone, it stops the watched process and runs
 * `discard`. No handler in this process could do that after a SIGKILL, and test files are killed when they take too long.
 */
export function createGuard(discard: readonly string[]): Guard {
  const shell = spawn('sh', ['-c', SCRIPT, 'guard', ...discard], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  shell.on('error', () => {})
  shell.stdin.on('error', () => {})
  shell.unref()
  return {
    watch: (pid) => shell.stdin.write(`${pid ?? ''}\n`),
    release: () => shell.stdin.end('released\n'),
  }
}
