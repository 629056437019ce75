/** Admits a WebSocket or refuses it (docs/protocol.md): checks its origin, its polls and the limits. */
import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'
import { CloseCode } from '../../shared/protocol/close-codes.ts'
import { SUBPROTOCOL_GONE, SUBPROTOCOLS, type GoneFrame } from '../../shared/protocol/frames.ts'
import { problem, PROBLEM_CONTENT_TYPE } from '../../shared/protocol/problem.ts'
import type { ConnectionLimits, Verdict } from '../access/connection-limits.ts'
import { namesHost } from '../access/host-header.ts'
import { Connection, type ConnectionHost } from '../fanout/connection.ts'
import type { Hub } from '../fanout/hub.ts'
import type { TallyFeed } from '../fanout/tally-feed.ts'
import { textFrame } from '../fanout/text-frame.ts'
import { type Asked, rememberingAsked, type Refusal, type RefusedPoll, unknownPoll } from './asked-polls.ts'

export interface UpgradeOptions {
  readonly hub: Hub
  readonly feed: TallyFeed
  readonly admission: ConnectionLimits
  /** Where the request comes from, and whether its page may open sockets here. */
  readonly inspect: (request: IncomingMessage) => { readonly address: string; readonly isOriginAllowed: boolean }
  readonly now: () => number
  /** Called with each handshake that a limit refuses. */
  readonly onRefused?: (verdict: Exclude<Verdict, 'admitted'>, address: string) => void
  /** Called with the code each socket was closed with, and its connection. */
  readonly onClosed?: (code: number, connection: Connection) => void
}

export interface Upgrade {
  /** Takes a request to upgrade, with the arguments of the server's `upgrade` event. */
  handle(request: IncomingMessage, stream: Socket, head: Buffer): void
  /** Answers every upgrade from now on with 503 and `Retry-After`. */
  refuse(): void
}

/** The `ws` server cuts a socket whose client does not answer the closing handshake (RFC 6455 §7.1.1) for so long. */
const CLOSE_TIMEOUT_MS = 1_000

const ADMISSION_REFUSALS = {
  full: ['overloaded', 'This server has as many sockets as it may. Try again later.', 503, 5],
  busy: ['overloaded', 'More sockets are opened here than can be. Try again in a moment.', 503, 1],
  crowded: ['too-many', 'Your address has as many sockets open as it may.', 429, 5],
  hasty: ['too-many', 'Your address opens more sockets than it may. Try again in a moment.', 429, 4],
} as const

const NO_HOST: Refusal = {
  status: 400,
  kind: 'bad-request',
  detail: 'Name the host once, in a Host header: a handshake without it is none.',
}

const DRAINING: Refusal = {
  status: 503,
  kind: 'draining',
  detail: 'This server is being replaced: connect again.',
  retryAfterS: 1,
}

const UNAVAILABLE: Refusal = {
  status: 503,
  kind: 'unavailable',
  detail: 'The poll cannot be looked up at present.',
  retryAfterS: 1,
}

export function createUpgrade(options: UpgradeOptions): Upgrade {
  const { hub, feed, admission } = options
  const host: ConnectionHost = { now: options.now, drained: hub.catchUp }
  const sockets = createSocketServer()
  const readAsked = rememberingAsked()
  let refusing = false

  const handle = (request: IncomingMessage, stream: Socket, head: Buffer) => {
    // an error says that the peer has gone: the stream closes, and nothing else is to be done
    stream.on('error', ignore)
    if (!namesHost(request)) return refuse(stream, NO_HOST)
    const { address, isOriginAllowed } = options.inspect(request)
    if (!isOriginAllowed) {
      return refuse(stream, { status: 403, kind: 'origin-refused', detail: 'Pages of this origin may not connect.' })
    }
    if (refusing) return refuse(stream, DRAINING)
    const asked = readAsked(request.url ?? '')
    if ('status' in asked) return refuseWithCloseCode(request, stream, head, asked)
    const early = refusalOf(request, asked)
    if (early !== undefined) return refuseWithCloseCode(request, stream, head, early)
    const verdict = admission.enter(address)
    if (verdict !== 'admitted') {
      options.onRefused?.(verdict, address)
      const [kind, detail, status, retryAfterS] = ADMISSION_REFUSALS[verdict]
      return refuse(stream, { status, kind, detail, retryAfterS })
    }
    // when the feed follows all of them, as it usually does, no promise is needed
    if (asked.slugs.every((slug) => feed.isFollowing(slug))) return accept(request, stream, head, asked, address)
    void lookUp(request, asked).then((found) => {
      // during the look-up a drain may have begun, or the peer may have gone
      if (!('status' in found) && !refusing && !stream.destroyed) return accept(request, stream, head, found, address)
      admission.leave(address)
      if (!stream.destroyed) refuseWithCloseCode(request, stream, head, 'status' in found ? found : DRAINING)
      return undefined
    })
  }

  /** Sorts out the polls that there are. A refusal when the socket gets none, or when it is not known at present which there are. */
  const lookUp = async (request: IncomingMessage, { slugs, refused }: Asked): Promise<Asked | Refusal> => {
    const outcomes = await Promise.all(slugs.map((slug) => feed.follow(slug)))
    // one that was found may have been removed while the others were looked up
    const isThere = (slug: string, index: number) => outcomes[index] === 'unavailable' || feed.isFollowing(slug)
    const unknown = slugs.filter((slug, index) => !isThere(slug, index))
    const found = {
      slugs: unknown.length === 0 ? slugs : slugs.filter((slug) => !unknown.includes(slug)),
      refused: [...refused, ...unknown.map(unknownPoll)],
    }
    return refusalOf(request, found) ?? (outcomes.includes('unavailable') ? UNAVAILABLE : found)
  }

  const accept = (request: IncomingMessage, stream: Socket, head: Buffer, asked: Asked, address: string) => {
    let isOpen = false
    // corked, so that answer, definitions and tallies leave in one write
    stream.cork()
    // ws calls back before it returns; when it refuses the handshake, it ends the stream and never calls back
    sockets.handleUpgrade(request, stream, head, (socket) => {
      isOpen = true
      open(socket, stream, asked, address)
    })
    stream.uncork()
    if (!isOpen) admission.leave(address)
  }

  const open = (socket: WebSocket, stream: Socket, { slugs, refused }: Asked, address: string) => {
    stream.off('error', ignore)
    socket.on('error', ignore) // a close event follows and has the code
    socket.on('message', onMessage)
    socket.on('close', onClose)
    const connection = new Connection({ socket, stream, slugs, address, host })
    hub.add(connection)
    if (refused.length > 0) connection.writeSoon(Buffer.concat(refused.map(goneFrame)))
    // the stream was paused during the look-up
    stream.resume()
  }

  /** One listener function for all sockets. */
  function onClose(this: WebSocket, code: number): void {
    const connection = Connection.of(this)
    if (connection === undefined) return
    hub.remove(connection)
    admission.leave(connection.address)
    options.onClosed?.(code, connection)
  }

  /**
   * Browsers hide the status of a refused upgrade from the page, which would therefore try for ever. So a client that offers our
   * subprotocol gets a socket that the server closes at once with 4404 or 4403 (docs/adr/0003); any other gets the status.
   */
  const refuseWithCloseCode = (request: IncomingMessage, stream: Socket, head: Buffer, refusal: Refusal) => {
    const offered = offeredBy(request)
    const { closeCode } = refusal
    if (closeCode === undefined || !SUBPROTOCOLS.some((name) => offered.has(name))) return refuse(stream, refusal)
    sockets.handleUpgrade(request, stream, head, (socket) => {
      socket.on('error', ignore)
      socket.close(closeCode, refusal.detail)
      stream.resume()
    })
  }

  return { handle, refuse: () => void (refusing = true) }
}

/** Creates the `ws` server. It does not listen, negotiates nothing but the subprotocol, and accepts only small frames. */
function createSocketServer(): WebSocketServer {
  const settings = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    // connection.ts answers pings, since nothing else may write to the stream of an open socket
    autoPong: false,
    // clients send only control frames, which hold 125 bytes at most (RFC 6455 §5.5)
    maxPayload: 256,
    // the published types lack these two
    maxFragments: 4,
    closeTimeout: CLOSE_TIMEOUT_MS,
    handleProtocols: (offered: Set<string>): string | false => SUBPROTOCOLS.find((name) => offered.has(name)) ?? false,
  }
  return new WebSocketServer(settings)
}

/** The subprotocols that a client offers (RFC 6455 §11.3.4). */
function offeredBy(request: IncomingMessage): ReadonlySet<string> {
  return new Set(request.headers['sec-websocket-protocol']?.split(',').map((name) => name.trim()))
}

/**
 * The refusal of the whole socket, if it asks for a poll that it does not get. A client of `livetally.v1.1` that gets another poll
 * is not refused: it gets a `gone` frame for this one.
 */
function refusalOf(request: IncomingMessage, { slugs, refused }: Asked): Refusal | undefined {
  if (refused.length === 0) return undefined
  return slugs.length > 0 && offeredBy(request).has(SUBPROTOCOL_GONE) ? undefined : refused[0]?.refusal
}

function goneFrame({ slug, refusal }: RefusedPoll): Buffer {
  const gone: GoneFrame = { type: 'gone', poll: slug, code: refusal.closeCode, reason: refusal.detail }
  return textFrame(JSON.stringify(gone))
}

/** Answers with a problem (RFC 9457) in place of the upgrade, and closes. */
function refuse(stream: Socket, { status, kind, detail, retryAfterS }: Refusal): void {
  const body = JSON.stringify(problem(status, kind, detail))
  const retry = retryAfterS === undefined ? '' : `retry-after: ${retryAfterS}\r\n`
  // destroyed once the answer is written, without waiting for the peer to close
  stream.once('finish', () => stream.destroy())
  stream.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nconnection: close\r\n${retry}content-type: ${PROBLEM_CONTENT_TYPE}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  )
}

/** Closes a socket whose client sends data, since this wire has no client frames. One listener function for all sockets. */
function onMessage(this: WebSocket): void {
  this.close(CloseCode.policyViolation, 'this wire has no client frames')
}

function ignore(): void {}
