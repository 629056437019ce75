/**
 * Makes the secrets of a Compose installation, once: random, one file each, in the directory given. What is there is kept, so
 * that a restart neither logs voters out nor locks the database.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const directory = process.argv[2]
if (directory === undefined) throw new Error('usage: make-secrets.ts DIRECTORY')

const password = keep('postgres-password', random)
keep('database-url', () => `postgres://livetally:${password}@postgres:5432/livetally`)
keep('cookie-secret', random)
keep('admin-token', random)

function random(): string {
  return randomBytes(24).toString('base64url')
}

/** The content of a secret's file, which is made when it is missing. */
function keep(name: string, make: () => string): string {
  const path = join(String(directory), name)
  // readable by the services, which run as another user; nothing but they and this mounts the directory
  if (!existsSync(path)) writeFileSync(path, `${make()}\n`, { mode: 0o444, flush: true })
  return readFileSync(path, 'utf8').trim()
}
