/** Starts the audience of crowd.ts, and collects what it tells. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { CrowdOptions } from './crowd.ts'
import type { ClientRecord, Sample } from './record.ts'

/** The audience's first tallies take no longer than this. */
const GATHER_MS = 60_000

export interface Crowd {
  readonly samples: readonly Sample[]
  /** What every client saw. The crowd leaves with it. */
  report(): Promise<ClientRecord[]>
  [Symbol.asyncDispose](): Promise<void>
}

type CrowdMessage = { type: 'ready' } | ({ type: 'sample' } & Sample) | { type: 'report'; records: ClientRecord[] }

/** Starts the clients in a process of their own; resolves once each of them has its first tally. */
export async function gatherCrowd(options: CrowdOptions): Promise<Crowd> {
  const program = fileURLToPath(new URL('crowd.ts', import.meta.url))
  const child = fork(program, [JSON.stringify(options)], { serialization: 'advanced' })
  const samples: Sample[] = []
  const ready = Promise.withResolvers<void>()
  const report = Promise.withResolvers<ClientRecord[]>()
  report.promise.catch(() => {}) // whoever waits for it is told; nobody may be
  child.on('message', (message: CrowdMessage) => {
    if (message.type === 'ready') ready.resolve()
    else if (message.type === 'sample') samples.push(message)
    else report.resolve(message.records)
  })
  const exited = once(child, 'exit')
  child.once('exit', (code, signal) => {
    const error = new Error(`the crowd ended (${code ?? signal})`)
    ready.reject(error)
    report.reject(error)
  })
  await Promise.race([ready.promise, overdue()])
  return {
    samples,
    report() {
      child.send('report')
      return report.promise
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exited
    },
  }
}

/** Rejects after a while; does not keep the process alive. */
async function overdue(): Promise<never> {
  await delay(GATHER_MS, undefined, { ref: false })
  throw new Error(`the audience did not get its first tallies within ${GATHER_MS} ms`)
}
