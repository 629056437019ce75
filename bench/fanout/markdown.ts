/** The run as a page: the aims first, then everything that was measured. */
import { decimals } from './aims.ts'
import { CONTENDERS, type ContenderName } from './contenders.ts'
import type { Spread } from './figures.ts'
import type { Results, Row } from './results.ts'

const TITLES: Record<ContenderName, string> = {
  livetally: 'Livetally',
  ws: 'ws, `send(JSON.stringify(…))`',
  'socket.io': 'Socket.IO, Redis adapter',
  epoll: 'C, epoll',
}

export function writeMarkdown(results: Results): string {
  const { settings, machine } = results
  const there = CONTENDERS.filter((contender) => results.rounds.some((round) => round[contender] !== undefined))
  const others = there.filter((contender) => contender !== 'livetally')
  return [
    '# Fan-out',
    `Written by \`npm run bench:fanout\` on ${results.at.slice(0, 10)}: ${settings.rounds} rounds, ${settings.sockets} sockets, a tally of ${settings.tallyBytes} bytes. How to read it: [bench/README.md](../README.md).`,
    ...(settings.quick ? ['**A quick run: it shows that the bench works, its figures mean little.**'] : []),
    '## Aims',
    table(
      ['figure', 'aim', 'measured', '', 'more'],
      results.aims.map(({ figure, aim, measured, met, note }) => [figure, aim, measured, verdict(met), note ?? '']),
    ),
    'Ratios: the gateway against the other in the same round, the median of all rounds, in brackets the least and the most.',
    '## Ratios',
    'Livetally divided by each. What is better than the other is **bold**.',
    table(
      ['figure', ...others.map((contender) => TITLES[contender])],
      results.rows.map((row) => [row.name, ...others.map((contender) => ratio(row, contender))]),
    ),
    '## Measured',
    'Medians of the rounds. They hold for this machine and that hour.',
    table(
      ['figure', ...there.map((contender) => TITLES[contender])],
      results.rows.map(({ name, unit, values }) => [
        unit === '' ? name : `${name}, ${unit}`,
        ...there.map((contender) => value(values[contender])),
      ]),
    ),
    '## How',
    [
      `- ${machine.processor}, ${machine.cores} cores${machine.virtual ? ' of a virtual machine' : ''}, ${machine.memoryGiB} GiB; ${machine.system}; Node ${machine.node}; ${machine.descriptors} descriptors a process at most.`,
      `- Load of the machine as the run began: ${decimals(machine.load)}${machine.stolen === undefined ? '' : `; ${decimals(machine.stolen * 100)} % of the time of its cores went to others on the same hardware`}.`,
      `- ${settings.pinned ? 'The server had one core; load generator, Redis and bench another.' : `Not pinned: ${settings.whyNotPinned}.`}`,
      `- ${settings.received ? '“Receiving half moved”: the kernel received on the core of the load (`rps_cpus`), as if the clients were on another machine.' : `The receiving half was not moved: ${settings.whyNotReceived}.`}`,
      `- Load generator: ${settings.load}. Its processor time as a share of the server's, per message: ${shares(results)}. ${results.loadIsCheaper ? 'It is cheaper than every server.' : '**It is not cheaper than every server: it may be what was measured.**'}`,
      ...(there.includes('epoll') ? [] : ['- There is no C compiler here, so the C server was not measured.']),
      `- The run took ${Math.round(results.tookS)} s.`,
    ].join('\n'),
  ]
    .join('\n\n')
    .concat('\n')
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll('|', '\\|')))
  const widths = head.map((_, column) => Math.max(3, ...all.map((row) => (row[column] ?? '').length)))
  const line = (row: readonly string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`
  const [first = [], ...rest] = all
  return [line(first), `| ${widths.map((width) => '-'.repeat(width)).join(' | ')} |`, ...rest.map(line)].join('\n')
}

function verdict(met: boolean | undefined): string {
  if (met === undefined) return '–'
  return met ? 'met' : '**missed**'
}

function ratio({ ratios, better }: Row, contender: ContenderName): string {
  const spread = ratios[contender]
  if (spread === undefined || !Number.isFinite(spread.median)) return ''
  const text = decimals(spread.median)
  return (better === 'less' ? spread.median < 1 : spread.median > 1) ? `**${text}**` : text
}

function value(spread: Spread | undefined): string {
  return spread === undefined ? '' : decimals(spread.median)
}

function shares({ loadShare }: Results): string {
  return Object.entries(loadShare)
    .map(([contender, { message }]) => `${contender} ${decimals(message.median)}`)
    .join(', ')
}
