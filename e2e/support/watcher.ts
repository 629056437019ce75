/** A plain WebSocket client that records the frames it receives. */
import { once } from 'node:events'
import { WebSocket, type ClientOptions } from 'ws'
import { SUBPROTOCOL, type Frame, type PollFrame, type TallyFrame } from '../../shared/protocol/frames.ts'

export interface Watcher {
  readonly socket: WebSocket
  readonly frames: readonly Frame[]
  readonly tallies: readonly TallyFrame[]
  readonly polls: readonly PollFrame[]
  /** Resolves to the first frame, past or to come, that matches. Rejects when the socket closes first, or after 10 s. */
  until<F extends Frame>(matches: (frame: Frame) => frame is F): Promise<F>
  until(matches: (frame: Frame) => boolean): Promise<Frame>
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>
  close(): void
}

/** Opens a socket at a gateway; rejects when the upgrade is refused (the error has the status in its message). */
export async function watch(url: string, polls: readonly string[], options: ClientOptions = {}): Promise<Watcher> {
  const query = polls.map((poll) => `poll=${encodeURIComponent(poll)}`).join('&')
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws?${query}`, SUBPROTOCOL, options)
  const frames: Frame[] = []
  const lookers = new Set<() => void>()
  socket.on('message', (data: Buffer) => {
    frames.push(JSON.parse(data.toString('utf8')) as Frame)
    for (const look of lookers) look()
  })
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString('utf8') }))
  })
  await once(socket, 'open')
  socket.on('error', () => {}) // the close code says what goes wrong from here on

  const until = (matches: (frame: Frame) => boolean): Promise<Frame> =>
    new Promise((resolve, reject) => {
      const stop = () => {
        clearTimeout(timer)
        lookers.delete(look)
      }
      const look = () => {
        const found = frames.find(matches)
        if (found === undefined) return
        stop()
        resolve(found)
      }
      const fail = (what: string) => {
        stop()
        reject(new Error(`${what}; the last frames: ${JSON.stringify(frames.slice(-3))}`))
      }
      const timer = setTimeout(() => fail('no such frame in 10 s'), 10_000)
      void closed.then(({ code }) => fail(`the socket was closed with ${code} first`))
      lookers.add(look)
      look()
    })

  return {
    socket,
    frames,
    get tallies() {
      return frames.filter((frame) => frame.type === 'tally')
    },
    get polls() {
      return frames.filter((frame) => frame.type === 'poll')
    },
    until,
    closed,
    close: () => socket.close(),
  }
}
