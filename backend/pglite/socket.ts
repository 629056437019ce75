/** Connects pg to PGlite: pg uses a stream as its socket, and the worker thread answers at the other end (docs/adr/0013). */
import { Duplex } from 'node:stream'
import { Worker } from 'node:worker_threads'
import { DatabaseUnavailable } from '../database/errors.ts'
import type { FromPglite, PgliteWorkerData, ToPglite } from './worker.ts'

export interface PgliteWire {
  /** Makes a stream for one pg client. All clients share PGlite's only session, so there may be one at a time. */
  connect(): Duplex
  /** Packs the cluster as it is: a template to start others from. */
  pack(): Promise<Uint8Array>
  /** Closes the database and ends the thread. */
  close(): Promise<void>
}

/** Starts the thread and waits until PGlite answers. Throws `DatabaseUnavailable`. */
export async function startPglite(options: PgliteWorkerData): Promise<PgliteWire> {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: options, execArgv: [] })
  const sockets = new Map<number, PgliteSocket>()
  // eslint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
  const send = (message: ToPglite) => worker.postMessage(message)
  let ended: Error | undefined
  let clients = 0

  const end = (reason: Error) => {
    ended ??= reason
    for (const socket of sockets.values()) socket.destroy(ended)
  }
  worker.on('message', (message: FromPglite) => {
    if (typeof message === 'string' || !('client' in message)) return
    const socket = sockets.get(message.client)
    if ('error' in message) socket?.destroy(new DatabaseUnavailable(`PGlite failed: ${message.error}`))
    else socket?.push(message.bytes)
  })
  worker.on('error', (error) => end(new DatabaseUnavailable('PGlite failed', { cause: error })))
  worker.on('exit', () => end(new DatabaseUnavailable('PGlite has ended')))

  const answer = <T>(pick: (message: FromPglite) => T | undefined) =>
    new Promise<T>((resolve, reject) => {
      const listen = (message: FromPglite) => {
        const picked = pick(message)
        if (picked === undefined) return
        worker.off('message', listen)
        resolve(picked)
      }
      worker.on('message', listen)
      worker.once('exit', () => reject(ended ?? new DatabaseUnavailable('PGlite has ended')))
    })

  await answer((message) => (message === 'ready' ? true : undefined))
  return {
    connect: () => {
      const client = ++clients
      const socket = new PgliteSocket((bytes) => send({ client, bytes }), ended)
      sockets.set(client, socket)
      socket.once('close', () => sockets.delete(client))
      return socket
    },
    pack: async () => {
      send({ pack: true })
      return await answer((message) => (typeof message === 'object' && 'packed' in message ? message.packed : undefined))
    },
    close: async () => {
      if (ended === undefined) {
        send('close')
        await answer((message) => (message === 'closed' ? true : undefined)).catch(() => {})
      }
      await worker.terminate()
    },
  }
}

const TERMINATE = 'X'.charCodeAt(0)

/** A stream with those methods of a socket that pg calls. */
class PgliteSocket extends Duplex {
  #send: (bytes: Uint8Array) => void
  #broken: Error | undefined

  constructor(send: (bytes: Uint8Array) => void, broken: Error | undefined) {
    super()
    this.#send = send
    this.#broken = broken
  }

  connect(): this {
    setImmediate(() => (this.#broken === undefined ? this.emit('connect') : this.destroy(this.#broken)))
    return this
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    // Terminate, with which a client ends, is not passed on: it would end the session that the next client uses
    if (chunk[0] !== TERMINATE) this.#send(new Uint8Array(chunk))
    done()
  }

  override _final(done: () => void): void {
    this.push(null)
    done()
  }

  setNoDelay(): this {
    return this
  }

  setKeepAlive(): this {
    return this
  }

  ref(): this {
    return this
  }

  unref(): this {
    return this
  }
}
