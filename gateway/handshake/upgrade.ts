/** Admits a WebSocket or refuses it (docs/protocol.md): checks its origin, its polls and the limits. */
import { STATUS_CODES, type IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'
import { CloseCode } from '../../shared/protocol/close-codes.ts'
import { PollSlug, SUBPROTOCOL } from '../../shared/protocol/frames.ts'
import { problem, PROBLEM_CONTENT_TYPE } from '../../shared/protocol/problem.ts'
import type { ConnectionLimits } from '../access/connection-limits.ts'
import { Connection, type ConnectionHost } from '../fanout/connection.ts'
import type { Hub } from '../fanout/hub.ts'
import type { TallyFeed } from '../fanout/tally-feed.ts'

export interface UpgradeOptions {
  readonly hub: Hub
  readonly feed: TallyFeed
  readonly admission: ConnectionLimits
  /** Where the request comes from, and whether its page may open sockets here. */
  readonly inspect: (request: IncomingMessage) => { readonly address: string; readonly isOriginAllowed: boolean }
  readonly now: () => number
  /** Called with the code each socket was closed with. */
  readonly onClosed?: (code: number) => void
}

export interface Upgrade {
  /** Takes a request to upgrade, with the arguments of the server's `upgrade` event. */
  handle(request: IncomingMessage, stream: Socket, head: Buffer): void
  /** Answers every upgrade from now on with 503 and `Retry-After`. */
  refuse(): void
}

/** The most polls that one socket may follow. */
const MAX_POLLS = 16
/** The `ws` server cuts a socket whose client does not answer the closing handshake (RFC 6455 §7.1.1) for so long. */
const CLOSE_TIMEOUT_MS = 1_000

const ADMISSION_REFUSALS = {
  full: ['overloaded', 'This server has as many sockets as it may. Try again later.', 503, 5],
  busy: ['overloaded', 'More sockets are opened here than can be. Try again in a moment.', 503, 1],
  crowded: ['overloaded', 'Your address has as many sockets open as it may.', 429, 5],
} as const

/** An answer in place of 101. */
interface Refusal {
  readonly status: number
  readonly kind: string
  readonly detail: string
  readonly retryAfterS?: number
  /** The close code that a client with our subprotocol gets in place of the status. */
  readonly closeCode?: number
}

const DRAINING: Refusal = {
  status: 503,
  kind: 'draining',
  detail: 'This server is being replaced: connect again.',
  retryAfterS: 1,
}

export function createUpgrade(options: UpgradeOptions): Upgrade {
  const { hub, feed, admission } = options
  const host: ConnectionHost = { now: options.now, drained: hub.catchUp }
  const sockets = createSocketServer()
  const readSlugs = rememberingSlugs()
  let refusing = false

  const handle = (request: IncomingMessage, stream: Socket, head: Buffer) => {
    // an error says that the peer has gone: the stream closes, and nothing else is to be done
    stream.on('error', ignore)
    const { address, isOriginAllowed } = options.inspect(request)
    if (!isOriginAllowed) {
      return refuse(stream, { status: 403, kind: 'origin-refused', detail: 'Pages of this origin may not connect.' })
    }
    if (refusing) return refuse(stream, DRAINING)
    const slugs = readSlugs(request.url ?? '')
    if ('status' in slugs) {
      return slugs.closeCode === undefined ? refuse(stream, slugs) : refuseWithCloseCode(request, stream, head, slugs)
    }
    const verdict = admission.enter(address)
    if (verdict !== 'admitted') {
      const [kind, detail, status, retryAfterS] = ADMISSION_REFUSALS[verdict]
      return refuse(stream, { status, kind, detail, retryAfterS })
    }
    const unknown = slugs.filter((slug) => !feed.isFollowing(slug))
    // when the feed follows all of them, as it usually does, no promise is needed
    if (unknown.length === 0) return accept(request, stream, head, slugs, address)
    void lookUp(unknown).then((refusal) => {
      // during the look-up a drain may have begun, or the peer may have gone
      const late = refusal ?? (refusing ? DRAINING : undefined)
      if (late === undefined && !stream.destroyed) return accept(request, stream, head, slugs, address)
      admission.leave(address)
      if (late === undefined || stream.destroyed) return undefined
      return late.closeCode === undefined ? refuse(stream, late) : refuseWithCloseCode(request, stream, head, late)
    })
  }

  const lookUp = async (slugs: readonly string[]): Promise<Refusal | undefined> => {
    const outcomes = await Promise.all(slugs.map((slug) => feed.follow(slug)))
    const unknown = outcomes.indexOf('unknown')
    if (unknown >= 0) return unknownPoll(slugs[unknown] ?? '')
    if (!outcomes.includes('unavailable')) return undefined
    return { status: 503, kind: 'unavailable', detail: 'The poll cannot be looked up at present.', retryAfterS: 1 }
  }

  const accept = (request: IncomingMessage, stream: Socket, head: Buffer, slugs: readonly string[], address: string) => {
    let isOpen = false
    // corked, so that answer, definitions and tallies leave in one write
    stream.cork()
    // ws calls back before it returns; when it refuses the handshake, it ends the stream and never calls back
    sockets.handleUpgrade(request, stream, head, (socket) => {
      isOpen = true
      open(socket, stream, slugs, address)
    })
    stream.uncork()
    if (!isOpen) admission.leave(address)
  }

  const open = (socket: WebSocket, stream: Socket, slugs: readonly string[], address: string) => {
    stream.off('error', ignore)
    socket.on('error', ignore) // a close event follows and has the code
    socket.on('message', onMessage)
    socket.on('close', onClose)
    hub.add(new Connection({ socket, stream, slugs, address, host }))
    // the stream was paused during the look-up
    stream.resume()
  }

  /** One listener function for all sockets. */
  function onClose(this: WebSocket, code: number): void {
    const connection = Connection.of(this)
    if (connection === undefined) return
    hub.remove(connection)
    admission.leave(connection.address)
    options.onClosed?.(code)
  }

  /**
   * Browsers hide the status of a refused upgrade from the page, which would therefore try for ever. So a client that offers our
   * subprotocol gets a socket that the server closes at once with 4404 or 4403 (docs/adr/0003); any other gets the status.
   */
  const refuseWithCloseCode = (request: IncomingMessage, stream: Socket, head: Buffer, refusal: Refusal) => {
    const offered = request.headers['sec-websocket-protocol']?.split(',').map((name) => name.trim())
    const { closeCode } = refusal
    if (closeCode === undefined || !offered?.includes(SUBPROTOCOL)) return refuse(stream, refusal)
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
    handleProtocols: (offered: Set<string>): string | false => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  }
  return new WebSocketServer(settings)
}

/** The most request targets whose slugs are remembered: a crowd asks for a few of them over and over. */
const REMEMBERED = 256

/**
 * Returns a function that reads the slugs in a request target. It returns the same array for the same target, so that connections
 * share it.
 */
function rememberingSlugs(): (target: string) => readonly string[] | Refusal {
  const known = new Map<string, readonly string[]>()
  return (target) => {
    const remembered = known.get(target)
    if (remembered !== undefined) return remembered
    const slugs = slugsOf(target)
    if ('status' in slugs) return slugs
    if (known.size >= REMEMBERED) known.clear()
    known.set(target, slugs)
    return slugs
  }
}

/** The slugs in the request target, each once, or the refusal of a wrong target. */
function slugsOf(target: string): readonly string[] | Refusal {
  const url = URL.parse(target, 'http://gateway')
  if (url?.pathname !== '/ws') return { status: 404, kind: 'not-found', detail: 'WebSockets are at /ws.' }
  const slugs = [...new Set(url.searchParams.getAll('poll'))]
  const bad = (detail: string): Refusal => ({ status: 400, kind: 'bad-request', detail })
  if (slugs.length === 0) return bad('Say which poll: /ws?poll=cats-or-dogs')
  if (slugs.length > MAX_POLLS) return tooMany
  const impossible = slugs.find((slug) => !PollSlug.safeParse(slug).success)
  return impossible === undefined ? slugs : unknownPoll(impossible)
}

/** The refusal has a close code, as for an unknown poll, since trying again does not help. */
const tooMany: Refusal = {
  status: 400,
  kind: 'bad-request',
  detail: `One socket follows ${MAX_POLLS} polls at most.`,
  closeCode: CloseCode.notAllowed,
}

function unknownPoll(slug: string): Refusal {
  return {
    status: 404,
    kind: 'unknown-poll',
    detail: `There is no poll "${slug.slice(0, 64)}".`,
    closeCode: CloseCode.unknownPoll,
  }
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
