/** A plain WebSocket client that keeps every frame as it came, for the checks of a server. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { WebSocket } from 'ws'
import { Frame } from '../../shared/protocol/frames.ts'
import { soon } from './check.ts'

/** How long a server may take for what it does at once, in ms. */
export const PROMPT_MS = 3_000

export interface Peer {
  readonly socket: WebSocket
  /** The texts of all frames, as they came. */
  readonly texts: readonly string[]
  /** The frames, each of which fits its schema. */
  readonly frames: readonly Frame[]
  /** Resolves to the first frame, past or to come, from number `from` on, that matches. Rejects when none comes in time, in ms. */
  next(
    what: string,
    matches: (frame: Frame) => boolean,
    options?: { readonly from?: number; readonly ms?: number },
  ): Promise<Frame>
  readonly closed: Promise<number>
  leave(): void
}

/** Opens a socket for the polls. Rejects when the server refuses the upgrade, with its status in the message. */
export async function connectPeer(url: string, polls: readonly string[], subprotocols: readonly string[]): Promise<Peer> {
  const target = new URL('/ws', url)
  for (const poll of polls) target.searchParams.append('poll', poll)
  const socket = new WebSocket(target, [...subprotocols], { perMessageDeflate: false })
  const texts: string[] = []
  const frames: Frame[] = []
  const looks = new Set<() => void>()
  let wrong: Error | undefined
  socket.on('message', (data: Buffer, isBinary) => {
    const text = data.toString()
    texts.push(text)
    try {
      assert.equal(isBinary, false, 'a frame is binary; all are text')
      frames.push(Frame.parse(JSON.parse(text)))
    } catch (error) {
      wrong = new Error(`a frame does not fit its schema: ${text}\n${String(error)}`)
    }
    for (const look of looks) look()
  })
  const closed = new Promise<number>((resolve) => {
    socket.on('close', (code) => {
      resolve(code)
      for (const look of looks) look()
    })
  })
  await soon(once(socket, 'open'), PROMPT_MS, 'the server has not answered the handshake')
  socket.on('error', () => {}) // the close event follows

  const next = (what: string, matches: (frame: Frame) => boolean, { from = 0, ms = PROMPT_MS } = {}) => {
    const found = new Promise<Frame>((resolve, reject) => {
      const look = () => {
        const frame = frames.slice(from).find(matches)
        if (wrong === undefined && frame === undefined && socket.readyState !== WebSocket.CLOSED) return
        looks.delete(look)
        if (wrong !== undefined) reject(wrong)
        else if (frame === undefined) reject(new Error(`the socket was closed; there was no ${what}`))
        else resolve(frame)
      }
      looks.add(look)
      look()
    })
    return soon(found, ms, `there was no ${what}`)
  }
  return { socket, texts, frames, next, closed, leave: () => socket.close(1000) }
}

/** The status and the head of the answer to a handshake that is refused, or 101 for one that is not. */
export async function statusOf(url: string, polls: readonly string[], subprotocols: readonly string[]): Promise<number> {
  try {
    const peer = await connectPeer(url, polls, subprotocols)
    peer.leave()
    return 101
  } catch (error) {
    const status = /server response: (\d+)/.exec(String(error))?.[1]
    if (status === undefined) throw error
    return Number(status)
  }
}
