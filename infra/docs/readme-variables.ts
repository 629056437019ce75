/** The README's table of variables, made from the descriptions that `--help` prints. `npm run docs:variables` writes it anew. */
import { readFile, writeFile } from 'node:fs/promises'
import { backendVariables } from '../../backend/config.ts'
import { gatewayVariables } from '../../gateway/config.ts'
import type { Variable, Variables } from '../../shared/config/env.ts'
import { standaloneVariables } from '../standalone/config.ts'

const ENTRIES: Readonly<Record<string, Variables>> = {
  gateway: gatewayVariables,
  backend: backendVariables,
  standalone: standaloneVariables,
}
const HEAD = ['variable', 'who', 'default', 'meaning']
const BETWEEN_MARKERS = /(?<=<!-- variables -->\n)[^]*(?=<!-- \/variables -->)/

export const README = new URL('../../README.md', import.meta.url)

/** The README with the table as the configurations have it now. Throws where the markers are missing. */
export function withVariables(readme: string): string {
  if (!BETWEEN_MARKERS.test(readme)) throw new Error('the README has no markers <!-- variables --> and <!-- /variables -->')
  return readme.replace(BETWEEN_MARKERS, () => `\n${variablesTable()}\n`)
}

/** One row for each variable, in the order in which the entries list them. */
function variablesTable(): string {
  const names = new Set(Object.values(ENTRIES).flatMap((variables) => Object.keys(variables)))
  return markdownTable([HEAD, ...[...names].map(rowOf)])
}

function rowOf(name: string): string[] {
  const users = Object.entries(ENTRIES).flatMap(([entry, variables]) => {
    const variable = variables[name]
    return variable === undefined ? [] : [{ entry, variable }]
  })
  const isSecret = users.some(({ variable }) => variable.secret)
  return [
    `\`${name}\``,
    users.length === Object.keys(ENTRIES).length ? 'all' : users.map(({ entry }) => entry).join(', '),
    perEntry(users.map(({ entry, variable }) => ({ entry, text: defaultOf(variable) }))),
    `${perEntry(users.map(({ entry, variable }) => ({ entry, text: variable.description })))}${isSecret ? '. Secret' : ''}`,
  ]
}

function defaultOf({ fallback, optional }: Variable<unknown>): string {
  if (fallback === undefined) return optional ? 'none' : 'required'
  return fallback === '' ? 'none' : `\`${fallback}\``
}

/** What the first entry has, and after it what each other entry has instead, or more. */
function perEntry(users: readonly { readonly entry: string; readonly text: string }[]): string {
  const first = users[0]?.text ?? ''
  const others = users.filter(({ text }) => text !== first)
  return [first, ...others.map(({ entry, text }) => `${entry}: ${text.replace(`${first}; `, '')}`)].join('; ')
}

/** With columns as wide as the formatter makes them, so that it leaves the table alone. */
function markdownTable(rows: readonly (readonly string[])[]): string {
  const cells = rows.map((row) => row.map((cell) => cell.replaceAll('|', '\\|')))
  const widths = HEAD.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  const line = (row: readonly string[]) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |\n`
  const [head = [], ...body] = cells
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('')
}

if (import.meta.main) await writeFile(README, withVariables(await readFile(README, 'utf8')))
