/** What every process takes of the machine over its life: memory, descriptors, time of the processor. Linux only; elsewhere nothing. */
import { readdir, readFile } from 'node:fs/promises'
import { judgeFlatness, type Allowance, type Flatness, type Sample } from './flatness.ts'
import type { Life } from './world.ts'

export interface Footprint {
  readonly name: string
  readonly seconds: number
  /** Share of one core, from 0. */
  readonly cpu: number
  readonly residentBytes: Flatness
  /** After garbage was collected. */
  readonly heapBytes: Flatness
  readonly descriptors: Flatness
}

export interface Footprints {
  /** What every process took, this process's own first. */
  judge(): Footprint[]
  stop(): void
}

/** The name of this process, whose memory grows with what it keeps of the run and sends as floods. */
export const OWN = 'chaos'
const EVERY_MS = 5_000
/** How often garbage is collected to see what is left. */
const HEAP_EVERY_MS = 30_000
const MIB = 1_048_576
/** A process gets so long to become warm, and is judged if it lived so long after that. */
const TIMES = { warmUpMs: 90_000, leastMs: 360_000 }
const RESIDENT: Allowance = { share: 0.15, constant: 12 * MIB }
const HEAP: Allowance = { share: 0.1, constant: 3 * MIB }
const DESCRIPTORS: Allowance = { share: 0.1, constant: 12 }
/** Clock ticks a second in /proc, the same on every Linux. */
const TICKS = 100

interface Track {
  readonly name: string
  readonly pid: number
  readonly startedAt: number
  readonly resident: Sample[]
  readonly descriptors: Sample[]
  readonly ticks: Sample[]
}

/** Watches this process and every process in `lives`, which grows. */
export function watchFootprints(lives: readonly Life[]): Footprints {
  const tracks = new Map<number, Track>()
  const trackOf = (name: string, pid: number): Track => {
    let track = tracks.get(pid)
    if (track === undefined) {
      track = { name, pid, startedAt: Date.now(), resident: [], descriptors: [], ticks: [] }
      tracks.set(pid, track)
    }
    return track
  }
  const living = () => lives.filter(({ endedAt }) => endedAt === undefined)
  const look = () => {
    for (const { name, pid } of [
      { name: OWN, pid: process.pid },
      ...living().map((life) => ({ name: life.name, pid: life.child.pid })),
    ]) {
      void measure(trackOf(name, pid))
    }
  }
  look()
  const timers = [
    setInterval(look, EVERY_MS),
    setInterval(() => {
      for (const { child } of living()) child.send('SIGUSR2')
    }, HEAP_EVERY_MS),
  ]
  return {
    judge() {
      return [...tracks.values()].map((track) => {
        const { name, pid, resident, descriptors, ticks } = track
        const logs = lives.find(({ child }) => child.pid === pid)?.child.logs ?? []
        const heap = logs
          .filter(({ msg }) => msg === 'heap')
          .map((line): Sample => ({ at: Number(line['at']), value: Number(line['heapBytes']) }))
        const [first, last] = [ticks[0], ticks.at(-1)]
        const seconds = ((last?.at ?? 0) - (first?.at ?? 0)) / 1_000
        return {
          name,
          seconds,
          cpu: seconds === 0 ? 0 : ((last?.value ?? 0) - (first?.value ?? 0)) / TICKS / seconds,
          residentBytes: judgeFlatness(resident, RESIDENT, TIMES),
          heapBytes: judgeFlatness(heap, HEAP, TIMES),
          descriptors: judgeFlatness(descriptors, DESCRIPTORS, TIMES),
        }
      })
    },
    stop() {
      for (const timer of timers) clearInterval(timer)
    },
  }
}

/** Adds one sample of each figure; none where the process has gone. */
async function measure({ pid, resident, descriptors, ticks }: Track): Promise<void> {
  try {
    const [status, stat, open] = await Promise.all([
      readFile(`/proc/${pid}/status`, 'utf8'),
      readFile(`/proc/${pid}/stat`, 'utf8'),
      readdir(`/proc/${pid}/fd`),
    ])
    const at = Date.now()
    const kib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1])
    // the fields after the name in brackets; the 12th and 13th of them are the time in user and in system mode
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    if (Number.isNaN(kib)) return
    resident.push({ at, value: kib * 1_024 })
    descriptors.push({ at, value: open.length })
    ticks.push({ at, value: Number(fields[11]) + Number(fields[12]) })
  } catch {
    // it has ended meanwhile
  }
}
