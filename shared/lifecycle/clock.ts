/** Time as the lifecycle sees it, so that tests can hold the hands. */
import { setTimeout as delay } from 'node:timers/promises'

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Resolves after `ms`, or as soon as the signal aborts; never rejects. */
  wait(ms: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  wait: async (ms, signal) => {
    // an aborted wait has simply ended early: whoever aborted knows why
    await delay(ms, undefined, signal === undefined ? {} : { signal }).catch(() => {})
  },
}
