/** Drains the sockets: announces the shutdown to each, gives its client time to move, and closes what has not moved. */
import { CloseCode } from '../../shared/protocol/close-codes.ts'
import type { DrainFrame } from '../../shared/protocol/frames.ts'
import type { Clock } from '../../shared/lifecycle/clock.ts'
import { createMovePace } from '../../shared/lifecycle/pace.ts'
import type { Connection } from './connection.ts'
import { textFrame } from './text-frame.ts'

/** The part of a connection this needs. */
export type DrainedConnection = Pick<Connection, 'protocol' | 'writeSoon' | 'close' | 'terminate'>

export interface SocketDrainOptions {
  /** The hub, or a stand-in. */
  readonly hub: { readonly size: number; connections(): Iterable<DrainedConnection> }
  /** Over how long, in ms, in quiet: from the first announcement to the last close of a client that takes no part. */
  readonly spreadMs: number
  /** When the last client that takes part has to go, in ms from the first announcement: `spreadMs` or later. */
  readonly endMs: number
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  /** Called with each client that takes part when it has left by itself or is closed, so many ms after its announcement. */
  readonly onMoved?: (outcome: 'left' | 'closed', tookMs: number) => void
}

export interface SocketDrain {
  /** Resolves when every socket is closed, or at the signal. To be called once, after the last socket was added to the hub. */
  run(signal: AbortSignal): Promise<SocketDrainReport>
  /** To be called with each connection that was closed, by either side. */
  closed(connection: DrainedConnection): void
}

export interface SocketDrainReport {
  /** The clients at the start: those that take part, and the others. */
  readonly clients: number
  readonly plain: number
  /** How many of those that take part left by themselves, and how many were closed. */
  readonly left: number
  readonly closed: number
  /** From the announcement until a client left by itself, in whole ms; 0 when none did. */
  readonly medianMs: number
  readonly p99Ms: number
}

/**
 * How long a client has, at least, to open another connection and get its first tally there, unless `OVERLAP_SHARE` of the spread
 * is shorter.
 */
const OVERLAP_MS = 4_000
const OVERLAP_SHARE = 0.4
/** How often to look who is due, in ms: short enough to spread a crowd. */
const TICK_MS = 10

/**
 * Creates the drain of the sockets. A client that takes part negotiated the subprotocol. It hears of the shutdown when enough of
 * those before it have left (`createMovePace`), and may stay until the end, towards which those that are left are closed with 1012,
 * evenly. Any other client is closed one overlap after it was told.
 */
export function createSocketDrain({ hub, spreadMs, endMs, clock, random, onMoved = () => {} }: SocketDrainOptions): SocketDrain {
  const overlapMs = Math.min(OVERLAP_MS, spreadMs * OVERLAP_SHARE)
  const announcement = textFrame(JSON.stringify({ type: 'drain', closeAfterMs: Math.floor(overlapMs) } satisfies DrainFrame))
  /** Open, and not told to close. */
  const staying = new Set<DrainedConnection>()
  /** Of those that take part, the ones that were told and stay, in the order in which they were told, and when. */
  const moving = new Map<DrainedConnection, number>()
  /** The others that were told and stay, in the same order. */
  const told = new Map<DrainedConnection, number>()
  const tookMs: number[] = []
  let closed = 0
  let onLeft = (_tookMs: number) => {}

  const announce = (connection: DrainedConnection) => {
    // the socket of a busy client may take nothing for a moment, but the client must not miss the announcement
    connection.writeSoon(announcement)
    const those = takesPart(connection) ? moving : told
    those.set(connection, clock.now())
  }

  const forget = (connection: DrainedConnection) => {
    for (const those of [staying, moving, told]) those.delete(connection)
  }

  const close = (connection: DrainedConnection) => {
    const toldAt = moving.get(connection)
    if (toldAt !== undefined) {
      closed += 1
      onMoved('closed', clock.now() - toldAt)
    }
    forget(connection)
    connection.close(CloseCode.serviceRestart, 'service restart')
  }

  /** Closes those that were told one overlap ago, or earlier, while `mayClose` says so. */
  const closeThose = (those: ReadonlyMap<DrainedConnection, number>, now: number, mayClose: () => boolean) => {
    for (const [connection, toldAt] of those) {
      if (!mayClose()) return
      if (toldAt + overlapMs <= now) close(connection)
    }
  }

  return {
    closed(connection) {
      const toldAt = moving.get(connection)
      forget(connection)
      if (toldAt === undefined) return
      const took = clock.now() - toldAt
      tookMs.push(took)
      onLeft(took)
      onMoved('left', took)
    },
    async run(signal) {
      for (const connection of hub.connections()) staying.add(connection)
      const order = [...staying]
      const plain = order.filter((connection) => !takesPart(connection)).length
      const pace = createMovePace({ count: order.length, askMs: spreadMs - overlapMs, overlapMs, endMs, random })
      onLeft = pace.left
      const startedAt = clock.now()
      let asked = 0
      while (hub.size > 0 && !signal.aborted) {
        const now = clock.now()
        const elapsedMs = now - startedAt
        while (pace.isDue(elapsedMs, asked, moving.size)) {
          const connection = order[asked++]
          if (connection !== undefined && staying.has(connection)) announce(connection)
        }
        closeThose(told, now, () => true)
        closeThose(moving, now, () => staying.size > pace.mayStay(elapsedMs))
        if (elapsedMs >= endMs) for (const connection of staying) close(connection)
        await clock.wait(TICK_MS, signal)
      }
      // the `closeTimeout` of the ws server has cut those whose clients do not answer the closing handshake
      for (const connection of hub.connections()) connection.terminate()
      tookMs.sort((a, b) => a - b)
      const quantile = (share: number) => Math.round(tookMs[Math.floor(tookMs.length * share)] ?? 0)
      return { clients: order.length, plain, left: tookMs.length, closed, medianMs: quantile(0.5), p99Ms: quantile(0.99) }
    },
  }
}

/** Whether the client knows what a drain frame asks of it. */
function takesPart({ protocol }: DrainedConnection): boolean {
  return protocol !== ''
}
