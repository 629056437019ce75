/** An earlier version of the project, beside the present one. */
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from '../support/run.ts'

export interface PreviousVersion {
  /** Where it is, built. */
  readonly root: string
  [Symbol.asyncDispose](): Promise<void>
}

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** Takes a commit or a tag out of this repository, with the packages that are installed here, and builds it. */
export async function takePrevious(commit: string): Promise<PreviousVersion> {
  const root = await mkdtemp(join(tmpdir(), 'livetally-previous-'))
  const remove = () => rm(root, { recursive: true, force: true })
  try {
    const archive = join(root, 'archive.tar')
    await run('git', ['archive', '--format=tar', `--output=${archive}`, '--end-of-options', commit], { cwd: ROOT })
    await run('tar', ['-xf', archive], { cwd: root })
    await symlink(join(ROOT, 'node_modules'), join(root, 'node_modules'))
    await run('npm', ['run', '--silent', 'build'], { cwd: root })
  } catch (error) {
    await remove()
    throw error
  }
  return { root, [Symbol.asyncDispose]: remove }
}
