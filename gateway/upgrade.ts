/** Admission of a socket (docs/protocol.md): who may open one, for which polls, and how everyone else is refused. */
import { upgradeWebSocket, type WebSocketServerLike } from '@hono/node-server'
import type { Context } from 'hono'
import { WebSocket, WebSocketServer } from 'ws'
import { CloseCode } from '../shared/protocol/close-codes.ts'
import { PollId, SUBPROTOCOL } from '../shared/protocol/frames.ts'
import { problemResponse } from '../shared/protocol/problem.ts'
import { Connection } from './connection.ts'
import type { Hub } from './hub.ts'
import type { TallyFeed } from './tally-feed.ts'

export interface UpgradeOptions {
  readonly hub: Hub
  readonly feed: TallyFeed
  /** Whether the page that asks may open sockets here. */
  readonly isOriginAllowed: (c: Context) => boolean
  /** Open sockets at most. */
  readonly maxSockets: number
  readonly now: () => number
  /** Called with the code each socket was closed with. */
  readonly onClosed?: (code: number) => void
}

export interface Upgrade {
  /** Hono's handler of `GET /ws`. */
  readonly handle: (c: Context) => Promise<Response>
  /** From now on every upgrade gets 503 with `Retry-After`. */
  refuse(): void
}

/** Polls on one socket at most. */
const MAX_POLLS = 16
/** Who does not answer the closing handshake (RFC 6455 §7.1.1) for so long is cut. */
const CLOSE_TIMEOUT_MS = 1_000

/** The WebSocket server behind the HTTP server: no listener of its own, nothing negotiated but the subprotocol, hardly any input. */
export function createSocketServer(): WebSocketServerLike {
  const settings = {
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    // clients send control frames alone, which hold 125 bytes at most (RFC 6455 §5.5)
    maxPayload: 256,
    maxFragments: 4,
    // younger than the published types, as is maxFragments
    closeTimeout: CLOSE_TIMEOUT_MS,
    handleProtocols: (offered: Set<string>): string | false => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
  }
  // the published types of ws are looser about optional fields than those of the HTTP server
  return new WebSocketServer(settings) as WebSocketServerLike
}

export function createUpgrade(options: UpgradeOptions): Upgrade {
  const { hub, feed, now } = options
  let refusing = false

  const refusal = (): Response | undefined => {
    if (refusing) return problemResponse(503, 'draining', 'This server is being replaced: connect again.', { 'retry-after': '1' })
    if (hub.size >= options.maxSockets) {
      return problemResponse(503, 'overloaded', 'This server has as many sockets as it may. Try again later.', {
        'retry-after': '5',
      })
    }
    return undefined
  }

  const handle = async (c: Context): Promise<Response> => {
    if (c.req.header('upgrade')?.toLowerCase() !== 'websocket') {
      return problemResponse(426, 'bad-request', 'This address speaks WebSocket only.', {
        upgrade: 'websocket',
        connection: 'upgrade',
      })
    }
    if (!options.isOriginAllowed(c)) return problemResponse(403, 'origin-refused', 'Pages of this origin may not connect.')
    const refused = refusal()
    if (refused !== undefined) return refused

    const polls = [...new Set(c.req.queries('poll') ?? [])]
    if (polls.length === 0) return problemResponse(400, 'bad-request', 'Say which poll: /ws?poll=cats-or-dogs')
    if (polls.length > MAX_POLLS) return problemResponse(400, 'bad-request', `One socket follows ${MAX_POLLS} polls at most.`)
    const impossible = polls.find((poll) => !PollId.safeParse(poll).success)
    if (impossible !== undefined) return refuseUnknown(c, impossible)
    const outcomes = await Promise.all(polls.map((poll) => feed.follow(poll)))
    const unknown = polls.find((_, index) => outcomes[index] === 'unknown')
    if (unknown !== undefined) return refuseUnknown(c, unknown)
    if (outcomes.includes('unavailable')) {
      return problemResponse(503, 'unavailable', 'The poll cannot be looked up at present.', { 'retry-after': '1' })
    }
    // the drain may have begun while the poll was looked up
    return refusal() ?? (await admit(c, polls))
  }

  const admit = async (c: Context, polls: readonly string[]): Promise<Response> => {
    let connection: Connection | undefined
    return await upgradeWebSocket(c, {
      onOpen(_event, { raw }) {
        if (!(raw instanceof WebSocket)) return
        connection = new Connection({ socket: raw, polls, now: now() })
        hub.add(connection)
        // upgrades accepted just before the drain arrive just after it began
        if (refusing) connection.close(CloseCode.serviceRestart, 'service restart')
      },
      onMessage: (_event, ws) => ws.close(CloseCode.policyViolation, 'this wire has no client frames'),
      onClose({ code }) {
        if (connection !== undefined) hub.remove(connection)
        options.onClosed?.(code)
      },
    })
  }

  return { handle, refuse: () => void (refusing = true) }
}

/**
 * Browsers hide the status of a refused upgrade from the page, which would try for ever. So a client that offers our subprotocol
 * gets a socket that closes at once with 4404; any other gets an honest 404.
 */
async function refuseUnknown(c: Context, poll: string): Promise<Response> {
  const offered =
    c.req
      .header('sec-websocket-protocol')
      ?.split(',')
      .map((name) => name.trim()) ?? []
  if (!offered.includes(SUBPROTOCOL)) return problemResponse(404, 'unknown-poll', `There is no poll "${poll.slice(0, 64)}".`)
  return await upgradeWebSocket(c, { onOpen: (_event, ws) => ws.close(CloseCode.unknownPoll, 'unknown poll') })
}
