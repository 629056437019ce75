/** Keeps a second process out of a data directory, which it would corrupt. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { DataDirectoryInUse } from '../database/errors.ts'

/**
 * Locks the directory until the returned function is called or the process is gone, however it went: the lock is the operating
 * system's, on a file that SQLite holds open exclusively, so nothing stale can be left behind and no process id be mistaken.
 * Throws `DataDirectoryInUse`, which names who holds it (`holder` is our own name for the next one to read).
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
