/** What the backend replicas and the gateways share: the newest snapshot of every poll, and a message for each new one. */
import { z } from 'zod'
import type { Snapshot } from '../protocol/frames.ts'
import type { Versioned } from '../protocol/order.ts'

/** Called with each snapshot of a poll that the bus admitted, in no particular order: receivers drop what is not newer. */
export type SnapshotListener = (snapshot: Snapshot) => void

/** What the bus keeps, at one moment. */
export interface Kept {
  /** The newest snapshot of each poll asked for; a poll the bus does not know is absent. */
  readonly snapshots: ReadonlyMap<string, Snapshot>
  /** When a backend last read the database, by that backend's wall clock (ms since the epoch); undefined if the bus has forgotten. */
  readonly sourceAt: number | undefined
}

/**
 * The bus is a cache; the truth is in the database. Every message carries the full state of a poll (docs/adr/0002), and the bus
 * keeps the last one. If it loses what it kept or comes back older, the backends offer it again. Every promise settles within a few
 * seconds, whatever became of the other end.
 */
export interface TallyBus {
  /** Keeps and publishes the snapshot if it is newer than what is kept. False when it was not. */
  admit(snapshot: Snapshot): Promise<boolean>

  /**
   * Deletes what is kept of a poll that was removed in the epoch, and refuses it from now on; a later poll of that name, whose epoch is
   * higher, stays and is taken.
   */
  forget(slug: string, epoch: number): Promise<void>

  /**
   * Tells the gateways that the database was read at `at` (ms since the epoch). False when the bus had forgotten the last
   * heartbeat: the caller then compares what the bus keeps with what it knows.
   */
  heartbeat(at: number): Promise<boolean>

  /**
   * Makes the bus keep what it keeps of these polls, and resolves to the place of each. A poll the bus does not know is absent; one it
   * was told to forget has the last place of its epoch.
   */
  keep(slugs: readonly string[]): Promise<ReadonlyMap<string, Versioned>>

  /** What is kept of the polls asked for. */
  latest(slugs: readonly string[]): Promise<Kept>

  /**
   * Resolves once new snapshots of the poll reach `listener`, so that a later `latest` and the listener together miss none. The
   * function it resolves to ends the subscription.
   */
  subscribe(slug: string, listener: SnapshotListener): Promise<() => void>

  /** Keeps a text for whoever asks for it after all backends were away. */
  remember(mark: string): Promise<void>

  /** The text that was to be remembered last; undefined if the bus has forgotten. */
  remembered(): Promise<string | undefined>

  /** Announces a gateway. The bus drops it unless it announces itself again within five seconds. */
  announce(presence: Presence): Promise<void>

  /** The gateways that are present, in no particular order. */
  present(): Promise<Presence[]>

  /** Whether the bus answered when it was last asked. Reading this does no I/O. */
  readonly health: BusHealth

  close(): Promise<void>
}

/** How long a gateway counts as present after it announced itself, in ms. */
export const PRESENCE_MS = 5_000

/** A gateway as the organiser sees it. */
export const Presence = z.object({
  /** Different for every process. */
  id: z.string(),
  phase: z.string(),
  /** Open sockets. */
  sockets: z.number(),
})
export type Presence = Readonly<z.infer<typeof Presence>>

export interface BusHealth {
  readonly ok: boolean
  /** When the bus last answered, in monotonic ms. */
  readonly at: number
  readonly error?: string
}
