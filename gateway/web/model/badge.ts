import type { Status } from '../client/tally-client.ts'
import type { Messages } from '../messages/messages.ts'

/**
 * `live`: the numbers are current. `old`: they were current at an earlier time. `wait`: there are none yet. `over`: there will be
 * none.
 */
export interface Badge {
  readonly kind: 'live' | 'old' | 'wait' | 'over'
  readonly text: string
}

/** Says how current a page's numbers are. `pausedAt` is when the reader stopped them from moving. */
export function badgeOf(status: Status, messages: Messages, formatTime: (ms: number) => string, pausedAt?: number): Badge {
  const { badge } = messages
  const { state, asOf, code } = status
  if (state === 'closed') {
    const text = code === 4404 ? badge.unknownPoll : code === 4403 ? badge.notAllowed : badge.ended
    return { kind: 'over', text }
  }
  if (asOf === undefined) return { kind: 'wait', text: state === 'stale' ? badge.reconnecting : badge.connecting }
  if (pausedAt !== undefined) return { kind: 'old', text: badge.pausedAsOf(formatTime(pausedAt)) }
  if (state === 'stale') return { kind: 'old', text: badge.reconnectingAsOf(formatTime(asOf)) }
  if (status.delayed) return { kind: 'old', text: badge.asOf(formatTime(asOf)) }
  return { kind: 'live', text: badge.live }
}
