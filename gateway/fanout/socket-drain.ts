/** Drains the sockets at a pace: announces the shutdown to each, gives its client time to move, and closes what has not moved. */
import { CloseCode } from '../../shared/protocol/close-codes.ts'
import type { DrainFrame } from '../../shared/protocol/frames.ts'
import type { Clock } from '../../shared/lifecycle/clock.ts'
import { evenSpread, pace } from '../../shared/lifecycle/pace.ts'
import type { Hub } from './hub.ts'
import { textFrame } from './text-frame.ts'

export interface SocketDrainOptions {
  readonly hub: Hub
  /** Over how long, in ms, from the first announcement to the last close. */
  readonly spreadMs: number
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly signal: AbortSignal
}

/**
 * How long a client has to open another connection and get its first tally there, unless `OVERLAP_SHARE` of the spread is
 * shorter. The time is generous because the servers that take over the sockets are at their busiest during a drain.
 */
const OVERLAP_MS = 4_000
const OVERLAP_SHARE = 0.4
/** How often to check whether the last sockets have closed. */
const CHECK_MS = 20

/**
 * Announces the drain to one socket after the other, evenly over the spread less the overlap, and closes each with 1012 one
 * overlap after its own announcement, if it is still open. So the clients that understand the announcement move one by one
 * without a gap, and the others are closed one by one as well. Resolves when every socket is closed, or at the signal.
 */
export async function drainSockets({ hub, spreadMs, clock, random, signal }: SocketDrainOptions): Promise<void> {
  const connections = [...hub.connections()]
  if (connections.length === 0) return
  const overlapMs = Math.min(OVERLAP_MS, spreadMs * OVERLAP_SHARE)
  const announceMs = evenSpread(connections.length, spreadMs - overlapMs, random)
  const closeMs = announceMs.map((dueMs) => dueMs + overlapMs)
  const announcement = textFrame(JSON.stringify({ type: 'drain', closeAfterMs: Math.round(overlapMs) } satisfies DrainFrame))
  await Promise.all([
    pace({ dueMs: announceMs, clock, signal, act: (index) => connections[index]?.write(announcement) }),
    pace({
      dueMs: closeMs,
      clock,
      signal,
      act: (index) => connections[index]?.close(CloseCode.serviceRestart, 'service restart'),
    }),
  ])
  // the `closeTimeout` of the ws server cuts a socket whose client does not answer the closing handshake
  while (hub.size > 0 && !signal.aborted) {
    await clock.wait(CHECK_MS, signal)
  }
  for (const connection of hub.connections()) connection.terminate()
}
