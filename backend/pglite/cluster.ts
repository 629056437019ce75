/**
 * The embedded cluster on its way up: its directory locked, its thread starting. Takes neither driver nor schema, so that it can
 * be begun before those are loaded.
 */
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { lockDataDirectory } from './data-lock.ts'
import { templateFile } from './template.ts'
import { type PgliteWire, startPglite } from './socket.ts'

export interface ClusterOptions {
  /** Where to keep everything, locked for this process; undefined for a database in memory that ends with the process. */
  readonly dataDir: string | undefined
  /** Who we are, for the error a second process gets: "livetally, process 4711". */
  readonly holder?: string
}

export interface PgliteCluster {
  readonly wire: PgliteWire
  /** To be called once the tables are there: a cluster that never came so far is not taken up again. */
  complete(): void
  /** Writes everything down, ends the thread and gives the directory free. */
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

/** True if there is no cluster; one whose first start did not come to its end, and so holds nothing, is removed. */
function discardUnfinished(clusterDir: string): boolean {
  if (existsSync(completionNote(clusterDir))) return false
  rmSync(clusterDir, { recursive: true, force: true })
  return true
}

function completionNote(clusterDir: string): string {
  return `${clusterDir}.complete`
}
