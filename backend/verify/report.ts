/** The table `npm run verify` prints. */
import type { VerifiedPoll } from './verify.ts'

/** A table with a line for each option, and below it the verdict. */
export function verifyReport(polls: readonly VerifiedPoll[]): string {
  const head = ['poll', 'option', 'ballots', 'counted', 'difference', 'published']
  const rows = polls.flatMap(({ slug, options, published, version, epoch }) =>
    options.map(({ option, ballots, counted }, i) => [
      i === 0 ? slug : '',
      option,
      String(ballots),
      String(counted),
      ballots === counted ? '' : `${counted > ballots ? '+' : ''}${counted - ballots}`,
      i === 0 ? `${published} (${epoch}.${version})` : '',
    ]),
  )
  const widths = head.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => (column >= 2 && column <= 4 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd()
  const gone = polls.flatMap(({ slug, goneSource }) =>
    goneSource === undefined
      ? []
      : [`${slug} counts ${goneSource}, which is gone by that name, or has lost its column: its counts cannot be checked.\n`],
  )
  const wrong = polls.filter((poll) => !poll.ok)
  const verdict =
    wrong.length === 0
      ? `${polls.length} ${polls.length === 1 ? 'poll' : 'polls'}: every ballot counted once.`
      : `${wrong.length} of ${polls.length} differ: ${wrong.map(({ slug }) => slug).join(', ')}`
  return `${[line(head), ...rows.map(line)].join('\n')}\n\n${gone.join('')}${verdict}\n`
}
