import { glob } from 'node:fs/promises'
import { matchesGlob, normalize, sep } from 'node:path'

const EXCLUDED = new Set(['node_modules', 'dist', 'data', '.git'])

/** Every test file under `root`, as sorted paths relative to it; those that take minutes, `*.long.ts`, only if `long`. */
export async function testFiles(root: string, { long = false } = {}): Promise<string[]> {
  const found: string[] = []
  const files = glob(long ? '**/*.{test,long}.ts' : '**/*.test.ts', { cwd: root, exclude: (name) => EXCLUDED.has(name) })
  for await (const file of files) found.push(file)
  return found.toSorted()
}

/**
 * The files that any of the patterns names: a glob (`shared/**`), a path (`backend/ballots/ballot-box.test.ts`), or the beginning of
 * one (`backend`, `backend/ballots`). All of them when there are no patterns.
 */
export function selected(files: readonly string[], patterns: readonly string[]): string[] {
  if (patterns.length === 0) return [...files]
  const wanted = patterns.map((pattern) => normalize(pattern).replace(/^\.[/\\]/, ''))
  return files.filter((file) => wanted.some((pattern) => begins(file, pattern) || matchesGlob(file, pattern)))
}

function begins(file: string, pattern: string): boolean {
  if (!file.startsWith(pattern)) return false
  const rest = file.slice(pattern.length)
  return pattern.endsWith(sep) || rest === '' || rest.startsWith(sep) || rest.startsWith('.')
}
