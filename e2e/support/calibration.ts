/** How fast this machine delivers today, so that tests size their audience and their bounds of time by it. */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { fileURLToPath } from 'node:url'

export interface Calibration {
  /** Frames a second that one process can send to many sockets of another. */
  readonly deliveriesPerSecond: number
  /** How many times slower than the machine for which bounds are written down: from 1, on that one and faster ones, to 4. */
  readonly slowness: number
}

/** What `deliveriesPerSecond` is on the two cores for which the tests' bounds of time were chosen. */
const REFERENCE_DELIVERIES_PER_SECOND = 300_000
/** A bound that is stretched further than this finds no fault any more. */
const MAX_SLOWNESS = 4
const SOCKETS = 200
const ROUNDS = 100
/** About as large as a tally. */
const FRAME = Buffer.alloc(250, 'x')
const BYTES = SOCKETS * ROUNDS * FRAME.length
const SAMPLES = 5

/** Measures for about a second; the median of several samples counts. */
export async function calibrate(): Promise<Calibration> {
  const server = createServer({ noDelay: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const streams: Socket[] = []
  const accepted = Promise.withResolvers<void>()
  server.on('connection', (stream) => {
    if (streams.push(stream) === SOCKETS) accepted.resolve()
  })
  const receiver = fork(fileURLToPath(import.meta.url), [String((server.address() as AddressInfo).port)])
  try {
    await accepted.promise
    const samples: number[] = []
    for (let sample = 0; sample < SAMPLES; sample += 1) {
      const startedAt = performance.now()
      const received = once(receiver, 'message')
      for (let round = 0; round < ROUNDS; round += 1) {
        for (const stream of streams) stream.write(FRAME)
        // other work may run between two rounds, as in a gateway
        await new Promise((resolve) => setImmediate(resolve))
      }
      await received
      samples.push((SOCKETS * ROUNDS * 1_000) / (performance.now() - startedAt))
    }
    const deliveriesPerSecond = samples.toSorted((a, b) => a - b)[SAMPLES >> 1] ?? 1
    return {
      deliveriesPerSecond,
      slowness: Math.min(MAX_SLOWNESS, Math.max(1, REFERENCE_DELIVERIES_PER_SECOND / deliveriesPerSecond)),
    }
  } finally {
    receiver.kill('SIGKILL')
    for (const stream of streams) stream.destroy()
    server.close()
  }
}

/** The receiving process: says each time that all bytes of a sample have come. */
function receive(port: number): void {
  let bytes = 0
  const count = (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes < BYTES) return
    bytes -= BYTES
    process.send?.('received')
  }
  for (let socket = 0; socket < SOCKETS; socket += 1) connect(port, '127.0.0.1').on('data', count)
}

if (process.argv[1] === fileURLToPath(import.meta.url)) receive(Number(process.argv[2]))
