import { existsSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { onPath } from './installed.ts'
import { run } from './run.ts'

/** Whether packages can be installed here: on Debian or Ubuntu, as root. */
export async function canInstall(): Promise<boolean> {
  return process.getuid?.() === 0 && existsSync('/etc/debian_version') && (await onPath('apt-get')) !== undefined
}

// Debian's packages start a service and create a cluster when they are installed, unless these two files forbid it.
const NO_SERVICES = { path: '/usr/sbin/policy-rc.d', content: '#!/bin/sh\nexit 101\n', mode: 0o755 }
const NO_CLUSTER = { path: '/etc/postgresql-common/createcluster.conf', content: 'create_main_cluster = false\n', mode: 0o644 }

/** Installs Debian packages, without starting their services. Throws with apt's messages when it fails. */
export async function installPackages(packages: readonly string[]): Promise<void> {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const restore = [await replaced(NO_SERVICES), await replaced(NO_CLUSTER)]
  try {
    await run('apt-get', ['update', '-qq'], { env })
    // an existing settings file, such as the one just written, is kept without a question
    const keep = ['-o', 'Dpkg::Options::=--force-confold']
    await run('apt-get', ['install', '-qq', '--yes', '--no-install-recommends', ...keep, ...packages], { env })
  } finally {
    for (const undo of restore) await undo()
  }
}

/**
 * The paths of programs, in the order of their names, each from the Debian package of its name. Installs those that are missing where
 * that is possible; throws otherwise.
 */
export async function providePrograms(names: readonly string[]): Promise<string[]> {
  const find = () => Promise.all(names.map((name) => onPath(name, ['/usr/sbin'])))
  const missingOf = (found: readonly (string | undefined)[]) => names.filter((_, index) => found[index] === undefined)
  let found = await find()
  if (missingOf(found).length > 0 && (await canInstall())) {
    await installPackages(missingOf(found))
    found = await find()
  }
  const missing = missingOf(found)
  if (missing.length > 0) throw new Error(`the tests need ${missing.join(' and ')}: install it`)
  return found.filter((path) => path !== undefined)
}

async function replaced({ path, content, mode }: typeof NO_SERVICES): Promise<() => Promise<void>> {
  const before = await readFile(path).catch(() => undefined)
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, content, { mode })
  return () => (before === undefined ? rm(path, { force: true }) : writeFile(path, before, { mode }))
}
