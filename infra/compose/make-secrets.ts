/**
 * Makes the secrets of a Compose installation: random ones, one file each, in the directory given. It keeps files that exist, so
 * that after a restart voters are still known and the database's password still fits.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const directory = process.argv[2]
if (directory === undefined) throw new Error('usage: make-secrets.ts DIRECTORY')

const password = keep('postgres-password', random)
keep('database-url', () => `postgres://livetally:${password}@postgres:5432/livetally`)
// for infra/compose/data-layer.yaml: by way of the poolers, and directly, whichever server takes writes
keep('pooler-url', () => `postgres://livetally:${password}@pgbouncer:6432,pgbouncer-standby:6432/livetally`)
keep('servers-url', () => `postgres://livetally:${password}@postgres:5432,standby:5432/livetally`)
keep('cookie-secret', random)
keep('admin-token', random)

function random(): string {
  return randomBytes(24).toString('base64url')
}

/** Reads a secret's file, which is made first when it is missing. */
function keep(name: string, make: () => string): string {
  const path = join(String(directory), name)
  // readable by everyone, since the services run as another user; only they and this container mount the directory
  if (!existsSync(path)) writeFileSync(path, `${make()}\n`, { mode: 0o444, flush: true })
  return readFileSync(path, 'utf8').trim()
}
