import { constants } from 'node:fs'
import { access, readdir, realpath } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'

const DEBIAN = '/usr/lib/postgresql'

/** The path of `redis-server`, or undefined where none is on the PATH. */
export function installedRedis(): Promise<string | undefined> {
  return onPath('redis-server')
}

/**
 * The directory with `postgres` and `initdb`, or undefined. A `postgres` on the PATH counts only when `initdb` stands beside
 * the file it really is: Debian keeps both off the PATH, newest version last.
 */
export async function installedPostgres(): Promise<string | undefined> {
  const found = await onPath('postgres')
  const versions = await readdir(DEBIAN).catch((): string[] => [])
  const newestFirst = versions.toSorted((a, b) => Number.parseFloat(b) - Number.parseFloat(a))
  const candidates = [
    ...(found === undefined ? [] : [dirname(await realpath(found))]),
    ...newestFirst.map((version) => join(DEBIAN, version, 'bin')),
  ]
  for (const directory of candidates) {
    if ((await executable(join(directory, 'postgres'))) && (await executable(join(directory, 'initdb')))) return directory
  }
  return undefined
}

/** The path of a program, or undefined where none is on the PATH nor in the further directories. */
export async function onPath(program: string, further: readonly string[] = []): Promise<string | undefined> {
  for (const directory of [...(process.env['PATH'] ?? '').split(delimiter), ...further]) {
    const path = join(directory, program)
    if (await executable(path)) return path
  }
  return undefined
}

function executable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
