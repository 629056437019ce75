/** The run as one picture: sockets per gateway over time, stacked, with the signals marked. */
import type { RolloutRecord } from './record.ts'
import type { Verdict } from './verdict.ts'

const WIDTH = 1_000
const HEIGHT = 420
const LEFT = 60
const TOP = 70
const BOTTOM = 60
/** Okabe and Ito's palette, told apart by everyone. */
const COLORS = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#f0e442', '#999999']

export function drawRollout(record: RolloutRecord, verdict: Verdict): string {
  const samples = record.samples.filter(({ at }) => at >= record.startedAt && at <= record.endedAt)
  const slots = [...new Set(samples.flatMap(({ sockets }) => Object.keys(sockets)))].toSorted()
  const tallest = Math.max(1, ...samples.map(({ sockets }) => Object.values(sockets).reduce((sum, n) => sum + n, 0)))
  const x = (at: number) => LEFT + ((at - record.startedAt) / (record.endedAt - record.startedAt)) * (WIDTH - LEFT - 20)
  const y = (sockets: number) => HEIGHT - BOTTOM - (sockets / tallest) * (HEIGHT - TOP - BOTTOM)

  const stacked = samples.map(() => 0)
  const areas = slots.map((slot, index) => {
    const lower = samples.map(({ at }, sample) => `${x(at).toFixed(1)},${y(stacked[sample] ?? 0).toFixed(1)}`)
    const upper = samples.map(({ at, sockets }, sample) => {
      stacked[sample] = (stacked[sample] ?? 0) + (sockets[slot] ?? 0)
      return `${x(at).toFixed(1)},${y(stacked[sample] ?? 0).toFixed(1)}`
    })
    const color = COLORS[index % COLORS.length]
    const legendX = LEFT + index * 90
    return [
      `<polygon fill="${color}" points="${[...upper, ...lower.toReversed()].join(' ')}"><title>${slot}</title></polygon>`,
      `<rect x="${legendX}" y="${HEIGHT - 22}" width="12" height="12" fill="${color}"/>`,
      `<text x="${legendX + 17}" y="${HEIGHT - 12}">${slot}</text>`,
    ].join('\n')
  })
  const signals = record.replacements.map(({ slot, signalledAt, exitedAt }) =>
    [
      `<line x1="${x(signalledAt)}" x2="${x(signalledAt)}" y1="${TOP - 8}" y2="${HEIGHT - BOTTOM}" stroke="#000" stroke-dasharray="4 3"/>`,
      `<text x="${x(signalledAt) + 4}" y="${TOP - 12}">SIGTERM ${slot}</text>`,
      `<line x1="${x(exitedAt)}" x2="${x(exitedAt)}" y1="${TOP}" y2="${HEIGHT - BOTTOM}" stroke="#000" stroke-opacity="0.35"/>`,
    ].join('\n'),
  )
  const seconds = Array.from({ length: Math.floor((record.endedAt - record.startedAt) / 5_000) + 1 }, (_, index) => index * 5)
  const axis = seconds.map(
    (second) =>
      `<text x="${x(record.startedAt + second * 1_000)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${second} s</text>`,
  )
  const invisible =
    verdict.clientsWithGap === 0 && verdict.clientsBehind === 0 && verdict.backwards === 0 && verdict.httpFailures.length === 0
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${HEIGHT}" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="system-ui, sans-serif" font-size="12">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
<text x="${LEFT}" y="24" font-size="17" font-weight="600">${invisible ? 'Invisible' : 'Visible'}: ${verdict.clientsWithGap} of ${verdict.clients} clients had a gap, longest silence of any ${verdict.longestSilenceMs} ms</text>
<text x="${LEFT}" y="42" fill="#444">${verdict.versionsPublished} versions published, seen after ${verdict.lagMs.p50} ms (median), ${verdict.lagMs.p99} ms (99 %); ${verdict.httpFailures.length} of ${verdict.httpRequests} requests failed; largest herd ${(verdict.largestHerd * 100).toFixed(1)} %</text>
${areas.join('\n')}
${signals.join('\n')}
<text x="${LEFT - 8}" y="${y(tallest) + 4}" text-anchor="end">${tallest}</text>
<text x="${LEFT - 8}" y="${y(0)}" text-anchor="end">0</text>
${axis.join('\n')}
</svg>
`
}
