/** What a process has used, as Linux counts it. */
import { readdirSync, readFileSync } from 'node:fs'

export interface CpuTimes {
  /** On a core, all threads, in microseconds. */
  readonly totalUs: number
  /** In user mode, in microseconds; counted in ticks of 10 ms, so read it over seconds. */
  readonly userUs: number
}

const TICK_US = 10_000

export function cpuTimes(pid: number): CpuTimes {
  let totalUs = 0
  let userTicks = 0
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const [onCoreNs] = readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')
    totalUs += Number(onCoreNs) / 1_000
    // after the name, which may hold anything: state, ppid, … of which user time is the 12th
    const stat = readFileSync(`/proc/${pid}/task/${task}/stat`, 'utf8')
    userTicks += Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[11])
  }
  return { totalUs, userUs: userTicks * TICK_US }
}

export function cpuSince(pid: number, before: CpuTimes): CpuTimes {
  const now = cpuTimes(pid)
  return {
    totalUs: now.totalUs - before.totalUs,
    userUs: now.userUs - before.userUs,
  }
}

/** How long a core has been busy, with whatever, in microseconds; counted in ticks of 10 ms. */
export function coreBusyUs(core: number): number {
  const line = readFileSync('/proc/stat', 'utf8')
    .split('\n')
    .find((candidate) => candidate.startsWith(`cpu${core} `))
  const [, user, nice, system, , , interrupts, soft] = line?.split(' ').map(Number) ?? []
  return ((user ?? 0) + (nice ?? 0) + (system ?? 0) + (interrupts ?? 0) + (soft ?? 0)) * TICK_US
}

/** Resident memory in bytes, counted page by page: the figure in `status` may lag behind. */
export function residentBytes(pid: number): number {
  const kilobytes = /^Rss:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))?.[1]
  return Number(kilobytes) * 1_024
}

/** Connections the kernel has refused or dropped since it started because a listener's backlog was full. */
export function backlogOverflows(): number {
  const [names, values] = readFileSync('/proc/net/netstat', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('TcpExt:'))
    .map((line) => line.split(' '))
  const column = names?.indexOf('ListenOverflows') ?? -1
  return Number(values?.[column])
}
