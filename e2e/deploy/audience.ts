/** Who watches and who votes while something is deployed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import type { HttpRecord } from '../rollout/record.ts'
import { createVoter } from '../support/cluster.ts'

export interface Voters {
  readonly http: HttpRecord
  /** Votes that were acknowledged, each of another voter. */
  readonly acknowledged: number
  /** Ends the voting; resolves when the last answer is there. */
  stop(): Promise<void>
}

/** A new voter every so often, each of whom asks for the poll and votes once; what fails is written down. */
export function startVoters(url: string, poll: string, everyMs: number): Voters {
  const http: HttpRecord = { requests: 0, failures: [] }
  const pending = new Set<Promise<void>>()
  let acknowledged = 0
  const voteOnce = async () => {
    http.requests += 2
    try {
      const voter = await createVoter(url, poll)
      const answer = await voter.vote(url, acknowledged % 3 === 0 ? 'dogs' : 'cats')
      const said = await answer.text()
      if (answer.status === 200) acknowledged += 1
      else http.failures.push(`${new Date().toISOString()} vote: ${answer.status} ${said}`)
    } catch (error) {
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : ''
      http.failures.push(`${new Date().toISOString()} ${String(error)} ${cause}`)
    }
  }
  const timer = setInterval(() => {
    const vote = voteOnce().finally(() => pending.delete(vote))
    pending.add(vote)
  }, everyMs)
  return {
    http,
    get acknowledged() {
      return acknowledged
    },
    async stop() {
      clearInterval(timer)
      await Promise.all(pending)
    },
  }
}

export interface Published {
  readonly versions: { readonly version: number; readonly at: number }[]
  stop(): Promise<void>
}

/** Listens to what the backends publish, from inside the Redis container, since nothing else can reach it. */
export async function listenIn(redisContainer: string): Promise<Published> {
  const child = spawn('docker', ['exec', redisContainer, 'redis-cli', 'PSUBSCRIBE', '*'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const versions: { version: number; at: number }[] = []
  const subscribed = Promise.withResolvers<void>()
  createInterface(child.stdout).on('line', (line) => {
    if (line === 'psubscribe') subscribed.resolve()
    if (!line.startsWith('{')) return
    const { tally } = JSON.parse(line) as { tally?: { version: number } }
    if (tally !== undefined) versions.push({ version: tally.version, at: Date.now() })
  })
  await Promise.race([subscribed.promise, delay(10_000).then(() => Promise.reject(new Error('Redis does not answer')))])
  return {
    versions,
    async stop() {
      const exited = once(child, 'exit')
      child.kill('SIGKILL')
      await exited
    },
  }
}
