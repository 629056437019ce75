/** The machine: what it is, which cores are used, and where the kernel does the receiving half of loopback traffic. */
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, release, totalmem, type as systemType } from 'node:os'

export interface Machine {
  readonly processor: string
  readonly cores: number
  readonly memoryGiB: number
  readonly system: string
  readonly virtual: boolean
  readonly node: string
  readonly descriptors: number
  /** Runnable processes when the bench began, mean of a minute: other work makes the figures worse and noisier. */
  readonly load: number
  /** Time the hypervisor gave to others during the run, as a share of all cores' time. */
  readonly stolen?: number
}

export function describeMachine(): Machine {
  const processors = cpus()
  return {
    processor: processors[0]?.model.trim() ?? 'unknown',
    cores: processors.length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${systemType()} ${release()}`,
    virtual: / hypervisor/.test(readFileSync('/proc/cpuinfo', 'utf8')),
    node: process.version,
    descriptors: Number(/^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]),
    load: loadavg()[0] ?? 0,
  }
}

/** Ticks the hypervisor kept from us, and all ticks, since the start. */
export function stolenTicks(): { readonly stolen: number; readonly all: number } {
  const ticks = readFileSync('/proc/stat', 'utf8').split('\n')[0]?.split(/\s+/).slice(1, 9).map(Number) ?? []
  return { stolen: ticks[7] ?? 0, all: ticks.reduce((sum, n) => sum + n, 0) }
}

/** The server has a core for itself; the bench, its audience and its Redis share another. */
export interface Cores {
  readonly server: number | undefined
  readonly load: number | undefined
  /** Said where they could not be kept apart. */
  readonly why?: string
}

/** Moves this process, and with it whatever it starts, to the load's core. */
export function divideCores(): Cores {
  const apart = { server: undefined, load: undefined }
  if (availableParallelism() < 2) return { ...apart, why: 'this machine has one core: server and load share it' }
  try {
    const allowed = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
    const [server, load] = allowed.split(',').flatMap((range) => {
      const [from = 0, to = from] = range.split('-').map(Number)
      return Array.from({ length: to - from + 1 }, (_, index) => from + index)
    })
    if (server === undefined || load === undefined) return { ...apart, why: 'one core is allowed: server and load share it' }
    execFileSync('taskset', ['-a', '-c', '-p', String(load), String(process.pid)], { stdio: 'ignore' })
    return { server, load }
  } catch {
    return { ...apart, why: 'taskset is not permitted or missing: server and load share the cores' }
  }
}

const RX_CORES = '/sys/class/net/lo/queues/rx-0/rps_cpus'
const RX_BACKLOG = '/proc/sys/net/core/netdev_max_backlog'

/**
 * Lets the kernel do the receiving half of loopback traffic on the load's core, as a network card would leave it to another
 * machine. `move` may fail for want of permission; `restore` puts back what was found and may be called at any time.
 */
export function createReceiveCore(core: number) {
  let found: { readonly cores: string; readonly backlog: string } | undefined
  const restore = () => {
    if (found === undefined) return
    writeFileSync(RX_CORES, found.cores)
    writeFileSync(RX_BACKLOG, found.backlog)
    found = undefined
  }
  process.on('exit', restore)
  return {
    move() {
      found ??= { cores: readFileSync(RX_CORES, 'utf8').trim(), backlog: readFileSync(RX_BACKLOG, 'utf8').trim() }
      writeFileSync(RX_CORES, (1n << BigInt(core)).toString(16))
      // a broadcast comes faster than one core takes it in: with the usual 1000 packets it would be dropped and sent again
      writeFileSync(RX_BACKLOG, '60000')
    },
    restore,
  }
}

export type ReceiveCore = ReturnType<typeof createReceiveCore>
