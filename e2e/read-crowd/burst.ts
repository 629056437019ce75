/** A crowd in a process of its own that sends all its requests at once, each on a connection of its own. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { fileURLToPath } from 'node:url'

export interface Burst {
  /** Where the requests go, in turn. */
  readonly urls: readonly string[]
  /** Path and query of the requests, in turn. */
  readonly targets: readonly string[]
  readonly requests: number
}

export interface BurstOutcome {
  /** How many answers had each status; `none` counts the connections that ended without an answer. */
  readonly statuses: Readonly<Record<string, number>>
  /** From the first connection to the last answer, in ms. */
  readonly tookMs: number
}

/** Sends the requests of a burst; resolves once each has its answer or its end. */
export async function sendBurst(burst: Burst): Promise<BurstOutcome> {
  const child = fork(fileURLToPath(import.meta.url))
  // not as an argument, which may have 128 KiB at most
  child.send(burst)
  const exited = once(child, 'exit').then(([code, signal]) => {
    throw new Error(`the burst ended (${code ?? signal})`)
  })
  exited.catch(() => {}) // it also ends after it has told its outcome
  const [outcome] = (await Promise.race([once(child, 'message'), exited])) as [BurstOutcome]
  return outcome
}

async function send({ urls, targets, requests }: Burst): Promise<BurstOutcome> {
  const statuses: Record<string, number> = {}
  const startedAt = performance.now()
  const answered = Array.from({ length: requests }, async (_, index) => {
    const { hostname, port } = new URL(urls[index % urls.length] ?? '')
    const target = targets[Math.floor(index / urls.length) % targets.length]
    const socket = connect({ host: hostname, port: Number(port) })
    socket.write(`GET ${target} HTTP/1.1\r\nhost: ${hostname}\r\nconnection: close\r\n\r\n`)
    let head = ''
    socket.on('data', (bytes: Buffer) => (head += head.length < 16 ? bytes.toString('latin1') : ''))
    await once(socket, 'close').catch(() => {})
    const status = /^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 'none'
    statuses[status] = (statuses[status] ?? 0) + 1
  })
  await Promise.all(answered)
  return { statuses, tookMs: Math.round(performance.now() - startedAt) }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [burst] = (await once(process, 'message')) as [Burst]
  const outcome = await send(burst)
  process.send?.(outcome, () => process.disconnect?.())
}
