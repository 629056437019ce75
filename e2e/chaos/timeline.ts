/** A run as one picture: faults as bars, and over time by how much the worst screen was behind, and the votes that failed. Pure. */
import type { Chapter } from './journal.ts'
import type { ChaosReport } from './report.ts'
import type { Answer } from './voters.ts'
import type { Lag } from './watch.ts'

export interface Timeline {
  readonly startedAt: number
  readonly endedAt: number
  readonly chapters: readonly Chapter[]
  readonly worst: readonly Lag[]
  readonly answers: readonly Answer[]
}

const WIDTH = 1_200
const LEFT = 230
const RIGHT = 20
const TOP = 60
const ROW = 16
const CHART = 110
const GAP = 34
/** Okabe and Ito's palette, told apart by everyone. */
const [BLUE, ORANGE, RED] = ['#0072b2', '#e69f00', '#d55e00']

export function drawTimeline(
  { startedAt, endedAt, chapters, worst, answers }: Timeline,
  report: Pick<ChaosReport, 'seed' | 'seconds' | 'violations'>,
): string {
  const x = (at: number) => (LEFT + ((at - startedAt) / (endedAt - startedAt)) * (WIDTH - LEFT - RIGHT)).toFixed(1)
  const width = (from: number, to: number) => Math.max(1, Number(x(to)) - Number(x(from))).toFixed(1)
  const kinds = [...new Set(chapters.map(({ fault }) => fault.kind))].toSorted()
  const bars = kinds.flatMap((kind, row) => {
    const y = TOP + row * ROW
    return [
      `<text x="${LEFT - 8}" y="${y + 11}" text-anchor="end">${kind}</text>`,
      ...chapters
        .filter(({ fault }) => fault.kind === kind)
        .flatMap(({ number, startedAt: from, overAt = endedAt, endedAt: to = endedAt }) => [
          `<rect x="${x(from)}" y="${y + 2}" width="${width(from, overAt)}" height="${ROW - 4}" fill="${BLUE}"><title>fault ${number}</title></rect>`,
          `<rect x="${x(overAt)}" y="${y + 2}" width="${width(overAt, to)}" height="${ROW - 4}" fill="${ORANGE}"><title>until every screen was right</title></rect>`,
        ]),
    ]
  })

  const lagBottom = TOP + kinds.length * ROW + GAP + CHART
  const lags = bySecond(worst, startedAt, ({ at }) => at)
  const lagOf = new Map([...lags].map(([second, of]) => [second, Math.max(...of.map(({ ms }) => ms))]))
  const failBottom = lagBottom + GAP + CHART
  const failed = answers.filter(({ status, isPatient }) => status >= 500 || (status === 0 && isPatient))
  const failures = bySecond(failed, startedAt, ({ sentAt, tookMs }) => sentAt + tookMs)
  const failsOf = new Map([...failures].map(([second, of]) => [second, of.length]))
  const columns = (values: ReadonlyMap<number, number>, bottom: number, color: string, title: string) => {
    const tallest = Math.max(1, ...values.values())
    return [
      `<text x="${LEFT}" y="${bottom - CHART - 6}">${title}</text>`,
      `<line x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${bottom}" y2="${bottom}" stroke="#999"/>`,
      `<text x="${LEFT - 8}" y="${bottom - CHART + 10}" text-anchor="end">${tallest}</text>`,
      ...[...values].map(([second, value]) => {
        const [at, height] = [startedAt + second * 1_000, (value / tallest) * CHART]
        return `<rect x="${x(at)}" y="${(bottom - height).toFixed(1)}" width="${width(at, at + 1_000)}" height="${height.toFixed(1)}" fill="${color}"/>`
      }),
    ]
  }

  const height = failBottom + 40
  const step = Math.max(10, Math.ceil((endedAt - startedAt) / 12_000 / 10) * 10)
  const axis = Array.from({ length: Math.floor((endedAt - startedAt) / 1_000 / step) + 1 }, (_, index) => {
    const second = index * step
    return `<text x="${x(startedAt + second * 1_000)}" y="${failBottom + 18}" text-anchor="middle">${second} s</text>`
  })
  const marks = report.violations.map(
    ({ rule, second }) =>
      `<line x1="${x(startedAt + second * 1_000)}" x2="${x(startedAt + second * 1_000)}" y1="${TOP - 6}" y2="${failBottom}" stroke="${RED}" stroke-dasharray="3 3"><title>${rule}</title></line>`,
  )
  const violations = report.violations.length
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="11">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
<text x="${LEFT}" y="24" font-size="17" font-weight="600">${violations === 0 ? 'No violation' : `Violations: ${violations}, marked red`}: seed ${report.seed}, ${chapters.length} faults in ${Math.round(report.seconds)} s</text>
<text x="${LEFT}" y="42" fill="#444">blue: the fault; orange: until every screen was right again</text>
${[
  ...bars,
  ...columns(lagOf, lagBottom, BLUE, 'the worst screen, ms behind the database'),
  ...columns(failsOf, failBottom, RED, 'votes a second that were answered 5xx, or not at all'),
  ...marks,
  ...axis,
].join('\n')}
</svg>
`
}

function bySecond<T>(items: readonly T[], startedAt: number, at: (item: T) => number): Map<number, T[]> {
  return Map.groupBy(items, (item) => Math.floor((at(item) - startedAt) / 1_000))
}
