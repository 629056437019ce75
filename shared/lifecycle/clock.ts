/** Time and waiting, behind an interface so that tests can set the time. */
import { setTimeout as delay } from 'node:timers/promises'

export interface Clock {
  /**
   * Monotonic milliseconds, from an origin of this process: for every span and deadline, since it neither steps nor means anything
   * to another process.
   */
  now(): number
  /** Wall time, in milliseconds since the epoch: for what people and other machines read, never to measure with, since it may step. */
  date(): number
  /** Resolves after `ms`, or as soon as the signal aborts; never rejects. */
  wait(ms: number, signal?: AbortSignal): Promise<void>
}

/** Resolves after `ms`, or as soon as the signal aborts; never rejects. */
export async function wait(ms: number, signal?: AbortSignal): Promise<void> {
  // an aborted wait ends early and does not reject
  await delay(ms, undefined, signal === undefined ? {} : { signal }).catch(() => {})
}

export const systemClock: Clock = { now: () => performance.now(), date: () => Date.now(), wait }
