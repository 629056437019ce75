/** The two C programs, compiled into a directory that goes away with the run. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createGuard } from '../../e2e/support/guard.ts'

const run = promisify(execFile)

export interface Compiled {
  readonly load: string
  readonly epollServer: string
  readonly compiler: string
  remove(): Promise<void>
}

/** Undefined where there is no C compiler. Rejects when there is one and it refuses. */
export async function compile(compiler = 'cc'): Promise<Compiled | undefined> {
  let version: string
  try {
    version = (await run(compiler, ['--version'])).stdout.split('\n')[0] ?? ''
  } catch {
    return undefined
  }
  const directory = await mkdtemp(join(tmpdir(), 'livetally-fanout-'))
  const build = async (name: string) => {
    const target = join(directory, name)
    await run(compiler, ['-O2', '-Wall', '-Wextra', '-o', target, fileURLToPath(new URL(`${name}.c`, import.meta.url))])
    return target
  }
  const guard = createGuard(['rm', '-rf', directory])
  const remove = async () => {
    await rm(directory, { recursive: true, force: true })
    guard.release()
  }
  try {
    const [load, epollServer] = await Promise.all([build('load'), build('epoll-server')])
    return { load, epollServer, compiler: version, remove }
  } catch (error) {
    await remove()
    throw error
  }
}
