/** PGlite in a thread of its own, so that a long statement does not hold up the event loop. Speaks Postgres' wire protocol. */
import { readFile } from 'node:fs/promises'
import { parentPort, workerData } from 'node:worker_threads'
import { PGlite } from '@electric-sql/pglite'

export interface PgliteWorkerData {
  /** Where the cluster is; undefined for one in memory. */
  readonly clusterDir: string | undefined
  /** A packed empty cluster to start a new one from: unpacking takes a quarter of the time of initdb. */
  readonly template: string | undefined
}

/** To the worker: a client's bytes, or the request to end. */
export type ToPglite = { readonly client: number; readonly bytes: Uint8Array } | 'close' | { readonly pack: true }
/** From the worker: the answer to a client, or a word about itself. */
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
    // the answer may be a view of PGlite's own memory, which must not be given away
    say({ client: message.client, bytes: answer.slice() })
  } catch (error) {
    say({ client: message.client, error: error instanceof Error ? error.message : JSON.stringify(error) })
  }
}
