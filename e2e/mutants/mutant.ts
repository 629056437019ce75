/** Planted faults: each breaks one promise, so that it shows which tests would notice. */
import { readdir, readFile } from 'node:fs/promises'
import { stripTypeScriptTypes } from 'node:module'
import path from 'node:path'

export interface Mutant {
  /** What no longer holds. */
  readonly promise: string
  readonly changes: readonly Change[]
  /** The tests that are expected to notice, as paths or beginnings of paths, the cheapest first. */
  readonly tests: readonly string[]
  /** Of those tests the ones whose names match; all when absent. */
  readonly pattern?: string
  /** Whether it is in what the simulator runs. */
  readonly isSimulated?: true
}

/** A change of a file, whose path is relative to the root of the project. */
export interface Change {
  readonly file: string
  /** What stands there, exactly once. */
  readonly find: string
  readonly replace: string
}

const PLANTED = new URL('planted/', import.meta.url)

/** All mutants by name, which is that of their file. */
export async function loadMutants(): Promise<ReadonlyMap<string, Mutant>> {
  const files = (await readdir(PLANTED)).toSorted()
  const load = async (file: string): Promise<Mutant> => {
    const { default: mutant } = (await import(new URL(file, PLANTED).href)) as { default: Mutant }
    return mutant
  }
  return new Map(await Promise.all(files.map(async (file) => [path.basename(file, '.ts'), await load(file)] as const)))
}

/** The changed files below `root` by their paths. Throws when a change does not apply, or makes a file that is no TypeScript. */
export async function mutated(root: string, { changes }: Pick<Mutant, 'changes'>): Promise<ReadonlyMap<string, string>> {
  const files = new Map<string, string>()
  for (const { file, find, replace } of changes) {
    const text = files.get(file) ?? (await readFile(path.join(root, file), 'utf8'))
    const places = text.split(find).length - 1
    if (places !== 1) throw new Error(`${file} has ${places} places, and not one, that read ${JSON.stringify(find)}`)
    const changed = text.replace(find, () => replace)
    stripTypeScriptTypes(changed)
    files.set(file, changed)
  }
  return files
}
