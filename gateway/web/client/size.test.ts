import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'

/**
 * What an application downloads: the compiler's output for the client and everything it imports, in one piece, with names as in
 * the sources and without comments and indentation.
 */
const LIMIT_BYTES = 3 * 1024

const root = fileURLToPath(new URL('../../../', import.meta.url))

/** The module and all it imports, each once, dependencies first. */
function modulesOf(path: string, found = new Map<string, string>()): Map<string, string> {
  if (found.has(path)) return found
  const text = readFileSync(path, 'utf8')
  for (const [, specifier = ''] of text.matchAll(/^import .* from '(.+)';$/gm)) {
    assert.match(specifier, /^\.\.?\//, 'only modules of this project')
    modulesOf(resolve(path, '..', specifier), found)
  }
  return found.set(path, text)
}

test('the client with all it imports stays within 3 kB gzip, and the schema library is not among it', (t) => {
  const out = mkdtempSync(join(tmpdir(), 'livetally-size-'))
  t.after(() => rmSync(out, { recursive: true }))
  const compiler = join(root, 'node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [compiler, '-p', join(root, 'gateway/web'), '--outDir', out])
  const modules = modulesOf(join(out, 'gateway/web/client/tally-client.js'))
  assert.deepEqual(
    [...modules.keys()].map((path) => path.slice(out.length + 1)),
    [
      'shared/protocol/backoff.js',
      'shared/protocol/order.js',
      'gateway/web/client/transition.js',
      'gateway/web/client/tally-client.js',
    ],
  )
  const bytes = gzipSync([...modules.values()].join('').replaceAll(/^ +/gm, ''), { level: 9 }).length
  t.diagnostic(`${bytes} bytes`)
  assert.ok(bytes <= LIMIT_BYTES, `${bytes} bytes`)
})
