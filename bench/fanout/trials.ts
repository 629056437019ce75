/** What only the gateway has to stand: probes while it broadcasts without a pause, and readers that never read. */
import { setTimeout as delay } from 'node:timers/promises'
import { startAudience, type Probing } from './audience.ts'
import { startContender, type Contender } from './contenders.ts'
import { median } from './figures.ts'
import { residentBytes } from './process-usage.ts'
import type { VisitOptions } from './visit.ts'

export interface Storm {
  readonly sockets: number
  readonly seconds: number
  readonly published: number
  /** Tallies the socket that got most has got. */
  readonly seen: number
  readonly probing: Probing
}

export interface SlowReaders {
  readonly readers: number
  readonly seconds: number
  readonly published: number
  /** Resident memory at the end less that before they stopped reading, each the median of ten seconds. */
  readonly growthBytes: number
  /** The same at its highest. */
  readonly peakGrowthBytes: number
  /** The same in as long a time before, with everybody reading: what the process does anyway. */
  readonly peakWhileReadingBytes: number
  /** Open sockets before they stopped reading and at the end, as the gateway counts them. */
  readonly socketsBefore: number
  readonly socketsAfter: number
}

const GAP_MS = 55
const HEALTHY = 1_000
/** What a peer across an Ethernet announces; on loopback the kernel would take in half an hour of tallies for a silent reader. */
const SEGMENT_BYTES = 1_400
const RECEIVE_BYTES = 4_096

export async function storm(options: VisitOptions, { sockets, seconds }: { sockets: number; seconds: number }): Promise<Storm> {
  return await withGateway(options, async (server, start) => {
    const [audience, prober] = [start(), start()]
    try {
      const { live } = await audience.connect({ count: sockets, inFlight: 256, path: server.path(1) })
      if (live < sockets) throw new Error(`only ${live} of ${sockets} sockets came to life`)
      await audience.reset()
      const reading = audience.run(seconds * 1_000)
      const asking = prober.probe({ ms: seconds * 1_000 - 500, gapMs: 20, path: '/live' })
      const published = await publishFor(server, seconds)
      const probing = await asking
      await reading
      return { sockets, seconds, published, seen: (await audience.report()).most, probing }
    } finally {
      await Promise.all([audience.stop(), prober.stop()])
    }
  })
}

export async function slowReaders(
  options: VisitOptions,
  { readers, seconds, warmSeconds }: { readers: number; seconds: number; warmSeconds: number },
): Promise<SlowReaders> {
  return await withGateway(options, async (server, start) => {
    const audience = start()
    const path = server.path(1)
    const sockets = async () => {
      const response = await fetch(`http://127.0.0.1:${server.port}/live`)
      return ((await response.json()) as { sockets?: number }).sockets ?? Number.NaN
    }
    const updates = async (forSeconds: number) => {
      const resident: number[] = []
      const sampling = setInterval(() => resident.push(residentBytes(server.pid)), 1_000)
      const reading = audience.run(forSeconds * 1_000)
      try {
        const published = await publishFor(server, forSeconds)
        await reading
        return { published, peak: Math.max(...resident), atEnd: median(resident.slice(-10)) }
      } finally {
        clearInterval(sampling)
      }
    }
    try {
      await audience.connect({ count: readers, inFlight: 50, path, segmentBytes: SEGMENT_BYTES, receiveBytes: RECEIVE_BYTES })
      await audience.connect({ count: HEALTHY, inFlight: 50, path })
      const warm = await updates(warmSeconds)
      const reading = await updates(seconds)
      const socketsBefore = await sockets()
      await audience.stall(readers)
      const stalled = await updates(seconds)
      return {
        readers,
        seconds,
        published: stalled.published,
        growthBytes: stalled.atEnd - reading.atEnd,
        peakGrowthBytes: stalled.peak - reading.atEnd,
        peakWhileReadingBytes: reading.peak - warm.atEnd,
        socketsBefore,
        socketsAfter: await sockets(),
      }
    } finally {
      await audience.stop()
    }
  })
}

async function withGateway<T>(
  options: VisitOptions,
  act: (server: Contender, start: () => ReturnType<typeof startAudience>) => Promise<T>,
): Promise<T> {
  const { cores, load } = options
  const server = await startContender('livetally', { ...options, core: cores.server })
  try {
    return await act(server, () => startAudience({ program: load, port: server.port, engineIo: false, core: cores.load }))
  } finally {
    await server.stop()
  }
}

/** Publishes as often as a poll is sent, whether the one before has arrived or not. */
async function publishFor(server: Contender, seconds: number): Promise<number> {
  const until = performance.now() + seconds * 1_000
  let published = 0
  while (performance.now() < until) {
    await Promise.all([server.publish(1), delay(GAP_MS)])
    published++
  }
  return published
}
