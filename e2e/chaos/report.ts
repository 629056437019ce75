/** The figures of a chaos run, and how they are written for people. Pure. */
import type { FaultKind } from './fault-plan.ts'
import { quantile, type Flatness } from './flatness.ts'
import type { Footprint } from './footprints.ts'
import type { Chapter, Violation } from './journal.ts'
import type { Answer } from './voters.ts'

export interface Spread {
  readonly median: number
  readonly p99: number
  readonly max: number
}

export interface VoteFigures {
  readonly sent: number
  readonly acknowledged: number
  /** Answered with 4xx: the poll was closed, removed, or has no such option. */
  readonly refused: number
  /** Answered with 5xx. */
  readonly failed: number
  /** Not answered, although the voter waited for as long as any server takes, or its connection was lost twice. */
  readonly unanswered: number
  /** Not answered before a voter gave up who had little patience. */
  readonly givenUp: number
  /** Of the acknowledged ones, in ms. */
  readonly tookMs: Spread
}

export interface KindFigures {
  readonly kind: FaultKind
  readonly faults: number
  /** How long after the fault each screen was right, in ms. */
  readonly rightAfterMs: Spread
  /** Screens that were not right within the patience. */
  readonly neverRight: number
  readonly votes: VoteFigures
  /** The processes that were told to leave: how long they took in ms, and their exit codes. */
  readonly left: readonly string[]
}

export interface ChaosReport {
  readonly seed: number
  /** The version that half of the processes and of the screens had. */
  readonly previous: string | undefined
  readonly seconds: number
  /** How slow the machine was: at the start, and at most. */
  readonly slowness: { readonly first: number; readonly most: number }
  /** Whether the server lets votes say their order, and half of the voters did. */
  readonly votesOrdered: boolean
  readonly screens: number
  readonly tallies: number
  readonly acts: number
  readonly ballotsCompared: number
  /** Votes from before a reset that were counted after it; nobody promises otherwise (vote-ledger.ts). */
  readonly lateBallots: number
  readonly kinds: readonly KindFigures[]
  readonly calm: { readonly lagMs: Spread; readonly votes: VoteFigures }
  readonly footprints: readonly Footprint[]
  readonly broken: Readonly<Record<string, number>>
  readonly violations: readonly Violation[]
}

export function spread(values: readonly number[]): Spread {
  return { median: quantile(values, 0.5), p99: quantile(values, 0.99), max: quantile(values, 1) }
}

export function voteFigures(answers: readonly Answer[]): VoteFigures {
  const count = (least: number, most: number) => answers.filter(({ status }) => status >= least && status <= most).length
  return {
    sent: answers.length,
    acknowledged: count(200, 200),
    refused: count(400, 499),
    failed: count(500, 599),
    unanswered: answers.filter(({ status, isPatient }) => status === 0 && isPatient).length,
    givenUp: answers.filter(({ status, isPatient }) => status === 0 && !isPatient).length,
    tookMs: spread(answers.filter(({ status }) => status === 200).map(({ tookMs }) => tookMs)),
  }
}

/** The answers by the chapter that their vote met; those that met none are calm. */
export function answersByChapter(chapters: readonly Chapter[], answers: readonly Answer[]) {
  const met = new Map<Chapter, Answer[]>(chapters.map((chapter) => [chapter, []]))
  const calm: Answer[] = []
  for (const answer of answers) {
    const endedAt = answer.sentAt + answer.tookMs
    const chapter = chapters.find((each) => answer.sentAt <= (each.endedAt ?? Infinity) && endedAt >= each.startedAt)
    if (chapter === undefined) calm.push(answer)
    else met.get(chapter)?.push(answer)
  }
  return { met, calm }
}

export function kindFigures(chapters: readonly Chapter[], met: ReadonlyMap<Chapter, readonly Answer[]>): KindFigures[] {
  return Object.entries(Object.groupBy(chapters, ({ fault }) => fault.kind))
    .map(([kind, of]): KindFigures => {
      const times = of.flatMap(({ recoveriesMs = [] }) => recoveriesMs)
      return {
        kind: kind as FaultKind,
        faults: of.length,
        rightAfterMs: spread(times.filter(Number.isFinite)),
        neverRight: times.filter((time) => !Number.isFinite(time)).length,
        votes: voteFigures(of.flatMap((chapter) => met.get(chapter) ?? [])),
        left: of.flatMap(({ exits }) => exits.map(({ name, code, tookMs }) => `${name} ${tookMs} (${code})`)),
      }
    })
    .toSorted((a, b) => (a.kind < b.kind ? -1 : 1))
}

export function renderReport(report: ChaosReport): string {
  const { calm } = report
  const votes = ({ sent, acknowledged, refused, failed, unanswered, givenUp, tookMs }: VoteFigures) =>
    `${sent} votes: ${acknowledged} acknowledged (${spreadText(tookMs)}), ${refused} refused, ${failed} answered 5xx, ${unanswered} unanswered, ${givenUp} given up`
  const lines = [
    `seed ${report.seed}${report.previous === undefined ? '' : `, beside ${report.previous}`}, ${Math.round(report.seconds)} s, slowness ${report.slowness.first.toFixed(2)} to ${report.slowness.most.toFixed(2)}, votes ${report.votesOrdered ? 'with and without' : 'without'} order`,
    `${report.screens} screens were shown ${report.tallies} tallies; ${report.acts} acts of the organiser; ${report.ballotsCompared} ballots compared, ${report.lateBallots} of them late`,
    `nothing wrong: screens behind by ${spreadText(calm.lagMs)}; ${votes(calm.votes)}`,
    '',
    'screens right after a fault (median / p99 / longest, in ms)',
    ...report.kinds.flatMap(({ kind, faults, rightAfterMs, neverRight, votes: met, left }) => [
      `  ${kind} ×${faults}: ${spreadText(rightAfterMs)}${neverRight === 0 ? '' : `, ${neverRight} never`}`,
      `    ${votes(met)}`,
      ...(left.length === 0 ? [] : [`    left after ms (exit code): ${left.join(', ')}`]),
    ]),
    '',
    'processes (median of the first quarter after warming up → of the last)',
    ...report.footprints
      .filter(({ seconds }) => seconds >= 60)
      .map(
        ({ name, seconds, cpu, residentBytes, heapBytes, descriptors }) =>
          `  ${name}: ${Math.round(seconds)} s, ${(cpu * 100).toFixed(1)} % of a core; resident ${flatText(residentBytes, 'MiB')}; heap ${flatText(heapBytes, 'MiB')}; descriptors ${flatText(descriptors, '')}`,
      ),
    '',
    report.violations.length === 0 ? 'No violation.' : `Violations, with seed ${report.seed}:`,
    ...Object.entries(report.broken).map(([rule, times]) => `  ${times} × ${rule}`),
    ...report.violations.slice(0, 40).map(({ rule, detail, second, during }) => `  ${second} s: ${rule}: ${detail} (${during})`),
  ]
  return `${lines.join('\n')}\n`
}

const spreadText = ({ median, p99, max }: Spread) => [median, p99, max].map((ms) => Math.round(ms)).join(' / ')

function flatText(flatness: Flatness, unit: 'MiB' | ''): string {
  if (flatness.kind === 'short') return 'too short to say'
  const text = (value: number) => (unit === '' ? String(value) : (value / 1_048_576).toFixed(1))
  const grew = flatness.kind === 'grew' ? ' GREW' : ''
  return `${text(flatness.first)} → ${text(flatness.last)}${unit === '' ? '' : ` ${unit}`}${grew}`
}
