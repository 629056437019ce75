/** Time and waiting, behind an interface so that tests can set the time. */
import { setTimeout as delay } from 'node:timers/promises'

export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  /** Resolves after `ms`, or as soon as the signal aborts; never rejects. */
  wait(ms: number, signal?: AbortSignal): Promise<void>
}

/** Resolves after `ms`, or as soon as the signal aborts; never rejects. */
export async function wait(ms: number, signal?: AbortSignal): Promise<void> {
  // an aborted wait ends early and does not reject
  await delay(ms, undefined, signal === undefined ? {} : { signal }).catch(() => {})
}

export const systemClock: Clock = { now: () => Date.now(), wait }
