/** Keeps a packed cluster with its tables, from which new embedded databases start without running initdb (docs/adr/0013). */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const MIGRATIONS = fileURLToPath(new URL('../database/migrations', import.meta.url))
const CACHE = fileURLToPath(new URL('../../node_modules/.cache/livetally', import.meta.url))

/** The template's path, whether or not it exists. Its name changes with PGlite's version and the migrations, so none is stale. */
export function templateFile(): string {
  const hash = createHash('sha256')
  const pglite = createRequire(import.meta.url).resolve('@electric-sql/pglite')
  hash.update(readFileSync(join(dirname(pglite), '..', 'package.json')))
  for (const name of readdirSync(MIGRATIONS).toSorted()) {
    if (name.endsWith('.sql')) hash.update(readFileSync(join(MIGRATIONS, name)))
  }
  return join(CACHE, `pglite-${hash.digest('hex').slice(0, 16)}.tar.gz`)
}

/** Makes the template unless it exists. `pack` packs a new cluster with its tables. */
export async function ensureTemplate(pack: () => Promise<Uint8Array>): Promise<string> {
  const file = templateFile()
  if (existsSync(file)) return file
  mkdirSync(CACHE, { recursive: true })
  // written under another name and then renamed, since another process may read or make the template at the same time
  const draft = `${file}.${crypto.randomUUID()}`
  writeFileSync(draft, await pack())
  renameSync(draft, file)
  return file
}
