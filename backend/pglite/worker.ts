/** Runs PGlite in a thread, so that a long statement does not hold up the event loop. It speaks Postgres' wire protocol. */
import { readFile } from 'node:fs/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { PGlite } from '@electric-sql/pglite'

export interface PgliteWorkerData {
  /** The cluster's directory; undefined for a cluster in memory. */
  readonly clusterDir: string | undefined
  /** The file with a packed cluster, from which a new one is unpacked in place of initdb (docs/adr/0013). */
  readonly template: string | undefined
}

/** To the worker: a client's bytes, or the request to close or to pack the database. */
export type ToPglite = { readonly client: number; readonly bytes: Uint8Array } | 'close' | { readonly pack: true }
/** From the worker: the answer to a client, the packed cluster, or what state the database is in. */
export type FromPglite =
  | { readonly client: number; readonly bytes: Uint8Array }
  | { readonly client: number; readonly error: string }
  | { readonly packed: Uint8Array }
  | 'ready'
  | 'closed'

const port = parentPort
if (port === null) throw new Error('runs as a worker thread')
const { clusterDir, template }: PgliteWorkerData = workerData

const database = await PGlite.create({
  ...(clusterDir === undefined ? {} : { dataDir: clusterDir }),
  ...(template === undefined ? {} : { loadDataDir: new Blob([await readFile(template)]) }),
})

const say = (message: FromPglite, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer)

let last = Promise.resolve()
port.on('message', (message: ToPglite) => {
  last = last.then(() => handle(message))
})
say('ready')

async function handle(message: ToPglite): Promise<void> {
  if (message === 'close') {
    await database.close()
    say('closed')
    return
  }
  if ('pack' in message) {
    const packed = await database.dumpDataDir('gzip')
    say({ packed: new Uint8Array(await packed.arrayBuffer()) })
    return
  }
  try {
    const answer = await database.execProtocolRaw(message.bytes)
    // the answer may be a view of PGlite's memory, so the message takes a copy
    say({ client: message.client, bytes: answer.slice() })
  } catch (error) {
    say({ client: message.client, error: error instanceof Error ? error.message : JSON.stringify(error) })
  }
}
