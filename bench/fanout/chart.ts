/** The run as a picture: what a delivered message, a connection and a handshake cost each server, Livetally being 1. */
import { decimals } from './aims.ts'
import type { ContenderName } from './contenders.ts'
import type { Results, Row } from './results.ts'

const WIDTH = 860
const LEFT = 190
const RIGHT = 70
const BAR = 18
const GAP = 6
/** Okabe and Ito's palette, told apart by everyone. */
const COLORS: Record<ContenderName, string> = { livetally: '#0072b2', ws: '#e69f00', 'socket.io': '#cc79a7', epoll: '#999999' }
const NAMES: Record<ContenderName, string> = {
  livetally: 'Livetally',
  ws: 'ws + JSON.stringify',
  'socket.io': 'Socket.IO + Redis adapter',
  epoll: 'C, epoll',
}

const SHOWN: readonly (readonly [row: string, title: string])[] = [
  ['CPU per delivered message', 'CPU per delivered message'],
  ['CPU per message, receiving half moved', 'CPU per delivered message, receiving half on another core'],
  ['four polls at once: CPU per tally', 'CPU per delivered tally when four polls change at once'],
  ['resident bytes per idle connection', 'Memory per idle connection'],
  ['CPU per handshake', 'CPU per handshake'],
]

export function drawResults({ rows, settings, machine, at }: Results): string {
  const parts: string[] = []
  let y = 62
  for (const [name, title] of SHOWN) {
    const row = rows.find((candidate) => candidate.name === name)
    if (row === undefined) continue
    parts.push(`<text x="16" y="${y + 12}" font-weight="600">${title}</text>`)
    y += 22
    const { drawn, height } = bars(row, y)
    parts.push(drawn)
    y += height + 16
  }
  const height = y + 4
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12">
<rect width="${WIDTH}" height="${height}" fill="#fff"/>
<text x="16" y="24" font-size="17" font-weight="600">What it costs, compared with Livetally: shorter is better</text>
<text x="16" y="42" fill="#444">${settings.sockets} sockets, ${settings.tallyBytes}-byte tallies, ${settings.rounds} rounds, medians of paired ratios; ${escaped(machine.processor)}, ${machine.cores} cores, Node ${machine.node}, ${at.slice(0, 10)}${settings.quick ? ' (a quick run)' : ''}</text>
${parts.join('\n')}
</svg>
`
}

function bars({ ratios, values }: Row, top: number): { drawn: string; height: number } {
  const contenders = (Object.keys(COLORS) as ContenderName[]).filter((contender) => values[contender] !== undefined)
  // ratios say ours divided by theirs: here ours is one
  const size = (contender: ContenderName) => (contender === 'livetally' ? 1 : 1 / (ratios[contender]?.median ?? Number.NaN))
  const sizes = contenders.map((contender) => ({ contender, times: size(contender) })).filter(({ times }) => times > 0)
  const longest = Math.max(...sizes.map(({ times }) => times))
  const drawn = sizes.map(({ contender, times }, index) => {
    const y = top + index * (BAR + GAP)
    const width = (times / longest) * (WIDTH - LEFT - RIGHT)
    return [
      `<text x="${LEFT - 8}" y="${y + 13}" text-anchor="end">${NAMES[contender]}</text>`,
      `<rect x="${LEFT}" y="${y}" width="${width.toFixed(1)}" height="${BAR}" fill="${COLORS[contender]}"/>`,
      `<text x="${(LEFT + width + 6).toFixed(1)}" y="${y + 13}">${decimals(times)}×</text>`,
    ].join('\n')
  })
  return { drawn: drawn.join('\n'), height: sizes.length * (BAR + GAP) }
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
}
