import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, matchesGlob, normalize } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../', import.meta.url))
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

/** What the build of the image leaves out, as `Dockerfile.dockerignore` says. */
const LEFT_OUT = read('infra/images/Dockerfile.dockerignore')
  .split('\n')
  .filter((line) => line.startsWith('**/'))

/** The sources of the folders that the Dockerfile copies. */
const IMAGE_FILES = globSync('{gateway,backend,shared}/**/*.ts', { cwd: ROOT }).filter(
  (file) => !LEFT_OUT.some((pattern) => matchesGlob(file, pattern)),
)

/** What is started or loaded by name: processes, threads, and the modules that pages and embedders ask for. */
const ENTRIES = [
  'infra/standalone/main.ts',
  'backend/pglite/worker.ts',
  'backend/pglite/pack-template.ts',
  'backend/drizzle.config.ts',
  'gateway/web/live-tally.ts',
  ...IMAGE_FILES.filter((file) => file.endsWith('/main.ts')),
  ...globSync('gateway/web/pages/*.html', { cwd: ROOT }).flatMap((page) =>
    [...read(page).matchAll(/(?:src|href)="\/assets\/([^"]+)\.js"/g)].map(([, module]) => `${module}.ts`),
  ),
]

const IMPORT = /(?:from|import)\s*\(?\s*'(\.[^']+\.ts)'/g

function importsOf(file: string): string[] {
  return [...read(file).matchAll(IMPORT)].map(([, path = '']) => normalize(join(dirname(file), path)))
}

test('the image carries no test code', () => {
  assert.ok(IMAGE_FILES.length > 100, 'the sources were found')
  for (const file of IMAGE_FILES) {
    assert.doesNotMatch(file, /\.test\.ts$|under-test/)
    assert.doesNotMatch(read(file), /from 'node:test'|from 'fast-check'|\/e2e\//, file)
  }
})

test('the services and commands use every file that the image carries', () => {
  const used = new Set<string>()
  const waiting = [...ENTRIES]
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    if (used.has(file)) continue
    used.add(file)
    waiting.push(...importsOf(file))
  }
  assert.deepEqual(
    IMAGE_FILES.filter((file) => !used.has(file)),
    [],
  )
})
