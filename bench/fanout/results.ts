/** A whole run as data: what was measured, on what, and what follows from it. */
import { judgeAims, type Aim } from './aims.ts'
import { CONTENDERS, type ContenderName } from './contenders.ts'
import { against, over, type Figure, type Round, type Spread } from './figures.ts'
import type { Machine } from './machine.ts'
import type { SlowReaders, Storm } from './trials.ts'

export interface Settings {
  readonly rounds: number
  readonly sockets: number
  readonly burst: number
  readonly tallyBytes: number
  /** Whether server and load had a core each, and why not. */
  readonly pinned: boolean
  readonly whyNotPinned?: string
  /** Whether the receiving half was measured on the load's core, too, and why not. */
  readonly received: boolean
  readonly whyNotReceived?: string
  readonly load: string
  readonly compiler?: string
  /** Whether every contender was measured with small numbers: such figures mean little. */
  readonly quick: boolean
}

export interface Run {
  readonly at: string
  readonly tookS: number
  readonly machine: Machine
  readonly settings: Settings
  readonly rounds: readonly Round[]
  readonly storm: Storm
  readonly slowReaders: SlowReaders
}

export interface Row {
  readonly name: string
  readonly unit: string
  /** What is better. */
  readonly better: 'less' | 'more'
  readonly values: Partial<Record<ContenderName, Spread>>
  /** The gateway's value divided by the other's, paired by round. */
  readonly ratios: Partial<Record<ContenderName, Spread>>
}

export interface Results extends Run {
  readonly rows: readonly Row[]
  readonly aims: readonly Aim[]
  /** The load generator's processor time as a share of the server's, per message and per handshake. */
  readonly loadShare: Partial<Record<ContenderName, { readonly message: Spread; readonly handshake: Spread }>>
  /** Whether it was below one against every server. */
  readonly loadIsCheaper: boolean
}

const FIGURES: readonly (readonly [name: string, unit: string, better: Row['better'], figure: Figure])[] = [
  ['CPU per delivered message', 'µs', 'less', (visit) => visit.fanout.cpuUs],
  ['… of it in user mode', 'µs', 'less', (visit) => visit.fanout.userUs],
  ['messages a second on one core', '1/s', 'more', (visit) => visit.fanout.perSecond],
  ['delivery, p50', 'ms', 'less', (visit) => visit.fanout.p50Ms],
  ['delivery, p99', 'ms', 'less', (visit) => visit.fanout.p99Ms],
  ['CPU per message, receiving half moved', 'µs', 'less', (visit) => visit.moved?.cpuUs],
  ['… of it in user mode', 'µs', 'less', (visit) => visit.moved?.userUs],
  ['messages a second, receiving half moved', '1/s', 'more', (visit) => visit.moved?.perSecond],
  ['four polls at once: CPU per tally', 'µs', 'less', (visit) => visit.fourPolls.four.cpuUs],
  ['… against one of the four', '', 'less', ({ fourPolls }) => fourPolls.four.cpuUs / fourPolls.one.cpuUs],
  ['frames per socket of 200 changes in a second', '', 'less', (visit) => visit.framesOf200],
  ['resident bytes per idle connection', 'B', 'less', (visit) => visit.residentBytesPerSocket],
  ['handshakes a second', '1/s', 'more', (visit) => visit.handshakesPerSecond],
  ['CPU per handshake', 'µs', 'less', (visit) => visit.handshakeCpuUs],
  ['a crowd at once, until all are live', 'ms', 'less', (visit) => visit.burst.ms],
  ['… of them never live, or packets dropped by the backlog', '', 'less', ({ burst }) => burst.failed + burst.overflows],
  ['others had its core meanwhile, share of its busy time', '', 'less', ({ fanout }) => fanout.othersShare],
]

export function concluded(run: Run): Results {
  const { rounds, storm, slowReaders, settings } = run
  const rows = FIGURES.map(([name, unit, better, figure]): Row => {
    const each = (value: (contender: ContenderName) => Spread | undefined) =>
      Object.fromEntries(
        CONTENDERS.flatMap((contender) => (value(contender) === undefined ? [] : [[contender, value(contender)]])),
      )
    return {
      name,
      unit,
      better,
      values: each((contender) => over(rounds, contender, figure)),
      ratios: each((contender) => (contender === 'livetally' ? undefined : against(rounds, contender, figure))),
    }
  })
  const loadShare: Results['loadShare'] = Object.fromEntries(
    CONTENDERS.flatMap((contender) => {
      const message = over(rounds, contender, ({ fanout }) => fanout.loadUs / fanout.cpuUs)
      const handshake = over(rounds, contender, (visit) => visit.handshakeLoadUs / visit.handshakeCpuUs)
      return message === undefined || handshake === undefined ? [] : [[contender, { message, handshake }]]
    }),
  )
  return {
    ...run,
    rows: rows.filter(({ values }) => Object.keys(values).length > 0),
    aims: judgeAims({ rounds, burst: settings.burst, storm, slowReaders }),
    loadShare,
    loadIsCheaper: Object.values(loadShare).every(({ message }) => message.median < 1),
  }
}
