/** Who lives in a world. */
import type { EventEmitter } from 'node:events'
import type { TallyClient } from '../../gateway/web/client/tally-client.ts'
import type { PollFrame, TallyFrame } from '../../shared/protocol/frames.ts'
import type { Versioned } from '../../shared/protocol/order.ts'
import type { Machine } from './scheduler.ts'

/** A process of the product. */
export interface Service {
  readonly kind: 'gateway' | 'backend'
  readonly machine: Machine
  readonly host: EventEmitter
  /** When it was told to leave. */
  leavingAt: number | undefined
  exitCode: number | undefined
  /** It may leave with requests unanswered, since it reaches no backend. */
  isExcused: boolean
}

/** A socket of a screen, as the judge sees it. */
export interface SocketView {
  readonly gateway: string
  /** The newest place of each poll's tally and definition that came over it. */
  readonly places: Map<string, Versioned>
}

/** A device with the SDK. */
export interface Screen {
  readonly machine: Machine
  readonly client: TallyClient
  readonly slugs: readonly string[]
  /** By poll, what it shows. */
  readonly shown: Map<string, { readonly tally: TallyFrame; readonly poll: PollFrame }>
  /** Polls that it was told are gone, until it shows them again. */
  readonly gone: Set<string>
  readonly sockets: Set<SocketView>
  /** Until then it may show old numbers as live, since something between it and its gateway fails without a word. */
  excusedUntil: number
  /** The device wakes, or another network is there. */
  wake(isNetwork: boolean): void
  close(): void
}

/** A vote and what its voter knows of it. */
export interface LedgerEntry {
  readonly slug: string
  readonly option: string
  readonly at: number
  countedAt: number | undefined
}

/** A device that votes. */
export interface Voter {
  readonly machine: Machine
  readonly slug: string
  /** The voter id in its cookie. */
  readonly voter: () => string | undefined
  /** In the order in which they were cast. */
  readonly ledger: LedgerEntry[]
  /** Whether a vote is under way. */
  isSending: boolean
  stop(): void
}
