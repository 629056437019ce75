/** A packed cluster, with its tables, for new embedded databases to start from: initdb in WebAssembly takes three seconds. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MIGRATIONS = fileURLToPath(new URL('../database/migrations', import.meta.url))
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/livetally', import.meta.url))

/** Where the template is, if there is one; its name changes with PGlite and with the migrations, so that it is never a stale one. */
export function templateFile(): string {
  const hash = createHash('sha256')
  const pglite = createRequire(import.meta.url).resolve('@electric-sql/pglite')
  hash.update(readFileSync(join(dirname(pglite), '..', 'package.json')))
  for (const name of readdirSync(MIGRATIONS).toSorted()) {
    if (name.endsWith('.sql')) hash.update(readFileSync(join(MIGRATIONS, name)))
  }
  return join(CACHE, `pglite-${hash.digest('hex').slice(0, 16)}.tar.gz`)
}

/** Makes the template unless it is there. `pack` packs a new cluster, tables and all. */
export async function ensureTemplate(pack: () => Promise<Uint8Array>): Promise<string> {
  const file = templateFile()
  if (existsSync(file)) return file
  mkdirSync(CACHE, { recursive: true })
  // under another name first: somebody else may be looking, or doing the same
  const draft = `${file}.${crypto.randomUUID()}`
  writeFileSync(draft, await pack())
  renameSync(draft, file)
  return file
}
