/**
 * Starts the embedded cluster: locks its directory and starts its thread. Imports neither driver nor schema, so that a program can
 * start the cluster before it loads those.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { lockDataDirectory } from './data-lock.ts'
import { templateFile } from './template.ts'
import { type PgliteWire, startPglite } from './socket.ts'

export interface ClusterOptions {
  /** Where to keep everything, locked for this process; undefined for a database in memory that ends with the process. */
  readonly dataDir: string | undefined
  /** Names this process in the error that a second process gets: "livetally, process 4711". */
  readonly holder?: string
}

export interface PgliteCluster {
  readonly wire: PgliteWire
  /** To be called once the tables exist: the next start removes a cluster of which it was not called, and starts over. */
  complete(): void
  /** Closes the database, ends the thread and unlocks the directory. */
  close(): Promise<void>
}

/** Throws `DataDirectoryInUse`, or `DatabaseUnavailable`. */
export async function startCluster({ dataDir, holder = 'livetally' }: ClusterOptions): Promise<PgliteCluster> {
  const unlock = dataDir === undefined ? () => {} : lockDataDirectory(dataDir, holder)
  try {
    const clusterDir = dataDir === undefined ? undefined : join(dataDir, 'cluster')
    const isNew = clusterDir === undefined || discardUnfinished(clusterDir)
    const template = templateFile()
    const wire = await startPglite({ clusterDir, template: isNew && existsSync(template) ? template : undefined })
    return {
      wire,
      complete: () => {
        if (clusterDir !== undefined && isNew) writeFileSync(completionNote(clusterDir), '')
      },
      close: async () => {
        await wire.close()
        unlock()
      },
    }
  } catch (error) {
    unlock()
    throw error
  }
}

/** Removes a cluster whose first start was cut short, since it holds no votes. True if there is no cluster then. */
function discardUnfinished(clusterDir: string): boolean {
  if (existsSync(completionNote(clusterDir))) return false
  rmSync(clusterDir, { recursive: true, force: true })
  return true
}

function completionNote(clusterDir: string): string {
  return `${clusterDir}.complete`
}
