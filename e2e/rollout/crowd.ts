/** The audience as a process of its own: SDK clients and plain sockets that write down what they see. Talks to its parent over IPC. */
import { WebSocket } from 'ws'
import { createTallyClient } from '../../gateway/web/client/tally-client.ts'
import type { ClientRecord, SocketRecord } from './record.ts'

export interface CrowdOptions {
  readonly url: string
  readonly poll: string
  readonly clients: number
  readonly plain: number
}

const options = JSON.parse(process.argv[2] ?? '') as CrowdOptions
const records: ClientRecord[] = []
const openBySlot = new Map<string, number>()
const count = (slot: string, by: number) => openBySlot.set(slot, (openBySlot.get(slot) ?? 0) + by)

/** A socket that writes down its life in its client's record. */
function recordedSocket(client: ClientRecord) {
  return class RecordedSocket extends WebSocket {
    readonly record: SocketRecord = { slot: '?', openedAt: 0, liveAt: 0, endedAt: 0, code: 0 }
    constructor(address: string | URL, protocols?: string | string[]) {
      super(address, protocols)
      const { record } = this
      this.on('upgrade', (response) => (record.slot = String(response.headers['x-served-by'])))
      this.on('open', () => {
        record.openedAt = Date.now()
        client.sockets.push(record)
        count(record.slot, 1)
      })
      this.on('message', (data: Buffer) => {
        if (record.liveAt === 0 && data.includes('"type":"tally"')) record.liveAt = Date.now()
      })
      this.on('close', (code) => {
        record.code = code
        record.endedAt ||= Date.now()
        if (record.openedAt !== 0) count(record.slot, -1)
      })
      this.on('error', () => {})
    }
    override close(code?: number, reason?: string) {
      this.record.endedAt ||= Date.now()
      super.close(code, reason)
    }
  }
}

function newRecord(kind: ClientRecord['kind']): ClientRecord {
  const record: ClientRecord = { kind, sockets: [], tallies: [], backwards: 0, states: [] }
  records.push(record)
  return record
}

function handOut(record: ClientRecord, version: number) {
  const last = record.tallies.at(-2) ?? -1
  if (version <= last) record.backwards += 1
  record.tallies.push(version, Date.now())
}

/** Resolves once the client has its first tally. */
function startSdkClient(): Promise<void> {
  const record = newRecord('sdk')
  // ws speaks the browser's interface, its types differ in details
  const client = createTallyClient({
    url: `${options.url}/ws`,
    WebSocket: recordedSocket(record) as unknown as typeof globalThis.WebSocket,
  })
  client.addEventListener('status', ({ detail }) => record.states.push(detail.state))
  return new Promise((resolve) => {
    client.subscribe(options.poll, (tally) => {
      if (record.tallies.at(-2) !== tally.version) handOut(record, tally.version)
      resolve()
    })
  })
}

/** A client that knows nothing of hand-overs: it redials after a close, with a little jitter. */
function startPlainClient(): Promise<void> {
  const record = newRecord('plain')
  const RecordedSocket = recordedSocket(record)
  return new Promise((resolve) => {
    const dial = () => {
      const socket = new RecordedSocket(`${options.url.replace('http', 'ws')}/ws?poll=${options.poll}`)
      socket.on('message', () => resolve())
      socket.on('close', () => setTimeout(dial, Math.random() * 250))
    }
    dial()
  })
}

/** So many at a time, so that connecting is not itself the storm. */
async function startAll(total: number, start: () => Promise<void>) {
  for (let started = 0; started < total; started += 100) {
    await Promise.all(Array.from({ length: Math.min(100, total - started) }, start))
  }
}

setInterval(() => process.send?.({ type: 'sample', at: Date.now(), sockets: Object.fromEntries(openBySlot) }), 100)
process.on('message', (message) => {
  if (message === 'report') process.send?.({ type: 'report', records }, () => process.exit(0))
})
process.on('disconnect', () => process.exit(0))

await startAll(options.plain, startPlainClient)
await startAll(options.clients, startSdkClient)
process.send?.({ type: 'ready' })
