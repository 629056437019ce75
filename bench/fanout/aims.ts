/** The aims of the fan-out, and what became of them: from the figures alone. */
import { against, median, over, type Figure, type Round } from './figures.ts'
import type { SlowReaders, Storm } from './trials.ts'

export interface Aim {
  readonly figure: string
  readonly aim: string
  readonly measured: string
  /** Undefined when it was not measured. */
  readonly met: boolean | undefined
  /** What the figures say about why. */
  readonly note?: string
}

export interface Measured {
  readonly rounds: readonly Round[]
  /** How many were to connect at once. */
  readonly burst: number
  readonly storm: Storm
  readonly slowReaders: SlowReaders
}

const cpu: Figure = ({ fanout }) => fanout.cpuUs
const movedCpu: Figure = ({ moved }) => moved?.cpuUs
const user: Figure = ({ fanout }) => fanout.userUs
const kernel: Figure = ({ fanout }) => fanout.cpuUs - fanout.userUs
const movedKernel: Figure = ({ moved }) => (moved === undefined ? undefined : moved.cpuUs - moved.userUs)
const resident: Figure = ({ residentBytesPerSocket }) => residentBytesPerSocket
const handshakes: Figure = ({ handshakesPerSecond }) => handshakesPerSecond

export function judgeAims({ rounds, burst: crowd, storm, slowReaders }: Measured): Aim[] {
  const ratio = (name: string, other: 'ws' | 'socket.io' | 'epoll', figure: Figure, most: number, note?: string): Aim => {
    const measured = against(rounds, other, figure)
    return {
      figure: name,
      aim: `≤ ${decimals(most)}`,
      measured: measured === undefined ? 'not measured' : withRange(measured),
      met: measured === undefined ? undefined : measured.median <= most,
      ...(note === undefined ? {} : { note }),
    }
  }
  const ours = (figure: Figure) => over(rounds, 'livetally', figure)?.median
  const theirs = (figure: Figure) => over(rounds, 'epoll', figure)?.median
  const parts = (total: Figure, kernelPart: Figure) => {
    const [all, inKernel, limit] = [ours(total), ours(kernelPart), theirs(total)]
    if (all === undefined || inKernel === undefined || limit === undefined) return undefined
    return `${decimals(all)} µs, ${decimals(inKernel)} of it in the kernel; the C server ${decimals(limit)} µs`
  }
  const userRatio = (name: string, other: 'ws' | 'socket.io', most: number): Aim => {
    const mean = (contender: 'livetally' | 'ws' | 'socket.io') => {
      const values = rounds.flatMap((round) => (round[contender] === undefined ? [] : (user(round[contender]) ?? [])))
      return values.reduce((sum, value) => sum + value, 0) / values.length
    }
    const [a, b] = [mean('livetally'), mean(other)]
    const known = Number.isFinite(a) && b > 0
    return {
      figure: name,
      aim: `≤ 1/${1 / most}`,
      measured: known ? `1/${decimals(b / a)}` : 'not measured',
      met: known ? a / b <= most : undefined,
      ...(known ? { note: `${decimals(a)} µs and ${decimals(b)} µs, means of all rounds` } : {}),
    }
  }
  const visits = rounds.flatMap(({ livetally }) => livetally ?? [])
  const frames = median(visits.map(({ framesOf200 }) => framesOf200))
  const four = visits.map(({ fourPolls }) => fourPolls.four.cpuUs / fourPolls.one.cpuUs)
  const sooner = against(rounds, 'socket.io', handshakes)
  const burstMs = median(visits.map(({ burst }) => burst.ms))
  const lost = visits.reduce((sum, { burst }) => sum + burst.failed + burst.overflows, 0)
  const live = Math.min(...visits.map(({ burst }) => burst.live))
  const told = visits.reduce((sum, { burst }) => sum + burst.refused, 0)
  const probeMs = storm.probing.p99Us / 1_000

  return [
    ratio('CPU per delivered message, against the C server', 'epoll', cpu, 1.1, parts(cpu, kernel)),
    ratio('… with the receiving half on another core', 'epoll', movedCpu, 1.35, parts(movedCpu, movedKernel)),
    ratio('CPU per delivered message, against Socket.IO with Redis adapter', 'socket.io', cpu, 0.48),
    ratio('… with the receiving half on another core', 'socket.io', movedCpu, 0.4),
    ratio('CPU per delivered message, against plain ws', 'ws', cpu, 0.66),
    ratio('… with the receiving half on another core', 'ws', movedCpu, 0.5),
    userRatio('user-mode CPU per message, against Socket.IO', 'socket.io', 1 / 8),
    userRatio('user-mode CPU per message, against plain ws', 'ws', 1 / 4),
    {
      figure: 'frames per socket when one poll changes 200 times in a second',
      aim: '≤ 20',
      measured: String(frames),
      met: frames <= 20,
    },
    {
      figure: 'four polls changing in one tick: CPU per delivered tally, against one poll',
      aim: '≤ 0.35',
      measured: decimals(median(four)),
      met: median(four) <= 0.35,
    },
    ratio('resident bytes per idle connection, against Socket.IO', 'socket.io', resident, 0.28),
    ratio('resident bytes per idle connection, against plain ws', 'ws', resident, 0.92),
    {
      figure: 'handshakes a second, against Socket.IO',
      aim: '≥ 3',
      measured: sooner === undefined ? 'not measured' : withRange(sooner),
      met: sooner === undefined ? undefined : sooner.median >= 3,
    },
    {
      figure: `${crowd} clients connecting at once, until all are live`,
      aim: '≤ 3 s, none refused by the backlog',
      measured: `${decimals(burstMs / 1_000)} s, ${lost} attempts dropped by the backlog`,
      met: burstMs <= 3_000 && lost === 0 && live === crowd,
      note: `in ${visits.length} bursts, at least ${live} live, ${told} told to come again by a 503`,
    },
    {
      figure: `probe latency p99 during a broadcast storm to ${storm.sockets} sockets`,
      aim: '≤ 50 ms',
      measured: `${decimals(probeMs)} ms`,
      met: probeMs <= 50 && storm.probing.bad === 0,
      note: `${storm.probing.probes} probes, ${storm.probing.bad} without a good answer; ${storm.seen} of ${storm.published} tallies seen by the socket that got most`,
    },
    {
      figure: `resident growth with ${slowReaders.readers} readers that never read, ${slowReaders.seconds} s of updates`,
      aim: '≤ 1 MB',
      measured: `${decimals(slowReaders.peakGrowthBytes / 1e6)} MB at the highest`,
      met: slowReaders.peakGrowthBytes <= 1e6,
      note: `${decimals(slowReaders.growthBytes / 1e6)} MB at the end; ${decimals(slowReaders.peakWhileReadingBytes / 1e6)} MB at the highest in as long before, with everybody reading; ${slowReaders.socketsBefore} sockets before, ${slowReaders.socketsAfter} after`,
    },
  ]
}

export function decimals(value: number): string {
  if (!Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2)
}

function withRange({ median: middle, least, most }: { median: number; least: number; most: number }): string {
  return `${decimals(middle)} (${decimals(least)}–${decimals(most)})`
}
