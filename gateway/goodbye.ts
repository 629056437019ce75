/** The paced goodbye: tell each socket that this server is leaving, give it time to move, and close what has not moved. */
import { CloseCode } from '../shared/protocol/close-codes.ts'
import type { DrainFrame } from '../shared/protocol/frames.ts'
import type { Clock } from '../shared/lifecycle/clock.ts'
import { evenSpread, pace } from '../shared/lifecycle/pace.ts'
import type { Hub } from './hub.ts'
import { wireFrame } from './wire-frame.ts'

export interface GoodbyeOptions {
  readonly hub: Hub
  /** Over how long, in ms, from the first announcement to the last close. */
  readonly spreadMs: number
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly signal: AbortSignal
}

/**
 * A client has this long to open another connection and see its first tally there, or two fifths of the spread when that is shorter.
 * Generous, because the machines that take the crowd over are at their busiest just then.
 */
const OVERLAP_MS = 4_000
const OVERLAP_SHARE = 0.4
/** How often to look whether the last sockets have gone. */
const LOOK_MS = 20

/**
 * Announces to one socket after the other, evenly over the spread less the overlap, and closes with 1012 whoever is still here
 * one overlap after its own announcement. So clients that take part move one by one without a gap, and those that do not are
 * sent away one by one as well. Resolves when every socket is gone, or at the signal.
 */
export async function sayGoodbye({ hub, spreadMs, clock, random, signal }: GoodbyeOptions): Promise<void> {
  const leaving = [...hub.connections()]
  if (leaving.length === 0) return
  const overlapMs = Math.min(OVERLAP_MS, spreadMs * OVERLAP_SHARE)
  const announceMs = evenSpread(leaving.length, spreadMs - overlapMs, random)
  const closeMs = announceMs.map((dueMs) => dueMs + overlapMs)
  const announcement = wireFrame(JSON.stringify({ type: 'drain', closeAfterMs: Math.round(overlapMs) } satisfies DrainFrame))
  await Promise.all([
    pace({ dueMs: announceMs, clock, signal, act: (index) => leaving[index]?.write(announcement) }),
    pace({ dueMs: closeMs, clock, signal, act: (index) => leaving[index]?.close(CloseCode.serviceRestart, 'service restart') }),
  ])
  // who does not answer the closing handshake is cut by the ws server's closeTimeout
  while (hub.size > 0 && !signal.aborted) {
    await clock.wait(LOOK_MS, signal)
  }
  for (const connection of hub.connections()) connection.terminate()
}
