import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { createGuard } from './guard.ts'
import type { User } from './unprivileged-user.ts'

/** How to run a server program for tests. */
export interface ServerRecipe {
  /** Its name in messages. */
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly cwd: string
  /** Runs as this user; as the user of the tests when undefined. */
  readonly user?: User | undefined
  /** What it prints once it serves. */
  readonly readyLine: RegExp
  /** Sends a signal where it does not go to the process itself, as with a container. */
  readonly send?: ((signal: NodeJS.Signals) => Promise<void>) | undefined
  /** The command that removes what the server leaves on the machine. */
  readonly discard: readonly [string, ...string[]]
}

export interface Server {
  /** Resolves once the server serves. Rejects with the last lines it printed when it does not. */
  start(): Promise<void>
  /** Sends a signal without waiting for its effect. */
  send(signal: NodeJS.Signals): Promise<void>
  /** Ends the server with a signal and waits until it is gone; a server that ignores it for 10 s is killed. */
  end(signal: NodeJS.Signals): Promise<void>
  /** Ends it if it runs and removes what it left. May be called twice. */
  discard(signal: NodeJS.Signals): Promise<void>
}

const START_TIMEOUT_MS = 60_000
const END_TIMEOUT_MS = 10_000

/** Makes a server that can be ended and started again, and that ends when this process ends or is killed. */
export function createServer(recipe: ServerRecipe): Server {
  const guard = createGuard(recipe.discard)
  let running: ChildProcess | undefined
  let discarded = false

  async function send(signal: NodeJS.Signals): Promise<void> {
    if (running === undefined) throw new Error(`${recipe.name} is not running`)
    if (recipe.send === undefined) running.kill(signal)
    else await recipe.send(signal)
  }

  async function start(): Promise<void> {
    if (running !== undefined) throw new Error(`${recipe.name} is running already`)
    const child = spawn(recipe.command, recipe.args, {
      cwd: recipe.cwd,
      // a group of its own, so that Ctrl-C reaches the tests first and they still have their server while they end
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      // messages in English, since the start waits for one of them
      env: { ...process.env, LC_ALL: 'C' },
      ...recipe.user,
    })
    running = child
    guard.watch(child.pid)
    const output: string[] = []
    const over = new AbortController()
    const ended = once(child, 'exit', { signal: over.signal }).then(([code, signal]) => `ended (${code ?? signal})`)
    const late = delay(START_TIMEOUT_MS, `did not serve within ${START_TIMEOUT_MS} ms`, { signal: over.signal })
    const serves = new Promise<undefined>((resolve) => {
      for (const stream of [child.stdout, child.stderr]) {
        stream.setEncoding('utf8').on('data', (text: string) => {
          output.push(text)
          if (output.length > 50) output.shift()
          if (recipe.readyLine.test(output.join(''))) resolve(undefined)
        })
      }
    })
    child.once('exit', () => {
      if (running === child) running = undefined
    })
    try {
      const failure = await Promise.race([serves, ended, late])
      if (failure !== undefined) throw new Error(`${recipe.name} ${failure}\n${output.join('')}`)
    } catch (error) {
      await end('SIGKILL')
      throw error
    } finally {
      over.abort()
    }
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    const child = running
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    await send(signal)
    const cut = setTimeout(() => child.kill('SIGKILL'), END_TIMEOUT_MS)
    await gone
    clearTimeout(cut)
    running = undefined
    guard.watch(undefined)
  }

  return {
    start,
    send,
    end,
    async discard(signal) {
      if (discarded) return
      discarded = true
      await end(signal)
      const [command, ...args] = recipe.discard
      const removal = spawn(command, args, { stdio: 'ignore' })
      await once(removal, 'exit')
      guard.release()
    },
  }
}
