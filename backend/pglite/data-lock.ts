/** Keeps a second process out of a data directory, which it would corrupt. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { DataDirectoryInUse } from '../database/errors.ts'

/**
 * Locks the directory until the returned function is called or the process ends, by a crash too: SQLite locks a file in it, and the
 * operating system releases the lock with the process, so that no stale lock is left (docs/adr/0013). `holder` names this process.
 * Throws `DataDirectoryInUse`, which says by its name which process holds the lock.
 */
export function lockDataDirectory(directory: string, holder: string): () => void {
  mkdirSync(directory, { recursive: true })
  const note = join(directory, 'lock.txt')
  const lock = new DatabaseSync(join(directory, 'lock'), { timeout: 0 })
  try {
    lock.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE')
  } catch (error) {
    lock.close()
    throw new DataDirectoryInUse(
      `${directory} is in use by another process (${read(note)}): stop it, or choose another directory`,
      {
        cause: error,
      },
    )
  }
  writeFileSync(note, `${holder}\n`)
  return () => lock.close()
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return 'unknown'
  }
}
