/** What the backend replicas and the gateways share: the newest snapshot of every poll, and the news of it. */
import type { Snapshot } from '../protocol/frames.ts'

/** Called with each snapshot of a poll that the bus admitted, in no particular order: receivers drop what is not newer. */
export type SnapshotListener = (snapshot: Snapshot) => void

/** What the bus keeps, at one moment. */
export interface Kept {
  /** The newest snapshot of each poll asked for; a poll the bus does not know is absent. */
  readonly snapshots: ReadonlyMap<string, Snapshot>
  /** When a backend last read the database (ms since the epoch), or undefined if the bus has forgotten. */
  readonly sourceAt: number | undefined
}

/**
 * A hint and a cache, never the truth: every message carries full state, the last one is kept, and if the bus forgets
 * everything the next heartbeat tells the backends to fill it again.
 */
export interface TallyBus {
  /** Keeps and publishes the snapshot if it is newer than what is kept. False when it was not. */
  admit(snapshot: Snapshot): Promise<boolean>

  /** Forgets a poll that is gone. Gateways find out when they next look. */
  forget(slug: string): Promise<void>

  /**
   * Tells the gateways that the database was read at `at` (ms since the epoch). False when the bus had forgotten the last
   * heartbeat: the caller then admits every poll's snapshot again.
   */
  heartbeat(at: number): Promise<boolean>

  /** What is kept of the polls asked for. */
  latest(slugs: readonly string[]): Promise<Kept>

  /**
   * Resolves once news of the poll reaches `listener`; reading `latest` after that misses nothing.
   * The function it resolves to ends the subscription.
   */
  subscribe(slug: string, listener: SnapshotListener): Promise<() => void>

  /** Says that a gateway is here. It is forgotten when it has not said so again for five seconds. */
  announce(presence: Presence): Promise<void>

  /** The gateways that are here, in no particular order. */
  present(): Promise<Presence[]>

  /** Whether the bus answers, as last seen; never asks. */
  readonly health: BusHealth

  close(): Promise<void>
}

/** How long a gateway counts as present after it said so, in ms. */
export const PRESENCE_MS = 5_000

/** A gateway as the organiser sees it. */
export interface Presence {
  /** Different for every process. */
  readonly id: string
  readonly phase: string
  /** Open sockets. */
  readonly sockets: number
}

export interface BusHealth {
  readonly ok: boolean
  /** When it last answered, ms since the epoch. */
  readonly at: number
  readonly error?: string
}
