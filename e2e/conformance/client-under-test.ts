/** A client program that is examined: started with the address of a server, it says on its standard output what it shows. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { soon } from './check.ts'

/** A tally that the client showed: a line `tally <poll> <epoch> <version> <total>`. */
export interface Shown {
  readonly poll: string
  readonly epoch: number
  readonly version: number
  readonly total: number
}

export interface RunningClient {
  /** What it showed, in order. */
  readonly shown: readonly Shown[]
  /** The polls that it said are gone: lines `gone <poll>`. */
  readonly gone: readonly string[]
  /** Resolves once it has shown the tally. Rejects when it does not in time, in ms. */
  shows(poll: string, epoch: number, version: number, ms: number): Promise<void>
  /** Resolves once it has said that the poll is gone. */
  saysGone(poll: string, ms: number): Promise<void>
  stop(): Promise<void>
}

/** Starts the command with the address, with the polls in its query, as the last argument. */
export function startClient(command: readonly string[], url: string, polls: readonly string[]): RunningClient {
  const target = new URL(url)
  for (const poll of polls) target.searchParams.append('poll', poll)
  const [program = '', ...args] = command
  const child = spawn(program, [...args, target.href], { stdio: ['ignore', 'pipe', 'inherit'] })
  const ended = endOf(child)
  const shown: Shown[] = []
  const gone: string[] = []
  const looks = new Set<() => void>()
  let rest = ''
  child.stdout.on('data', (bytes: Buffer) => {
    const lines = (rest + bytes.toString()).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      const [word, poll = '', epoch, version, total] = line.trim().split(' ')
      if (word === 'tally') shown.push({ poll, epoch: Number(epoch), version: Number(version), total: Number(total) })
      if (word === 'gone') gone.push(poll)
    }
    for (const look of looks) look()
  })

  const until = (what: string, isSo: () => boolean, ms: number) => {
    const seen = new Promise<void>((resolve) => {
      const look = () => {
        if (!isSo()) return
        looks.delete(look)
        resolve()
      }
      looks.add(look)
      look()
    })
    return soon(seen, ms, `the client did not print "${what}"`)
  }
  return {
    shown,
    gone,
    shows: (poll, epoch, version, ms) =>
      until(
        `tally ${poll} ${epoch} ${version} …`,
        () => shown.some((tally) => tally.poll === poll && tally.epoch === epoch && tally.version === version),
        ms,
      ),
    saysGone: (poll, ms) => until(`gone ${poll}`, () => gone.includes(poll), ms),
    async stop() {
      child.kill('SIGKILL')
      await ended
    },
  }
}

async function endOf(child: ChildProcess): Promise<void> {
  // a program that cannot be started says so here; the checks then miss its first connection
  await once(child, 'exit').catch((error: unknown) => void process.stderr.write(`${String(error)}\n`))
}
