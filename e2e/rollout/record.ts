/** What is written down during a rolling restart, for the verdict and the picture. Times are ms since the epoch. */

/** One WebSocket of one client. */
export interface SocketRecord {
  /** The gateway behind the balancer, as the balancer named it. */
  slot: string
  openedAt: number
  /** When it brought its first tally; 0 if never. */
  liveAt: number
  /** When the client left it, or it was closed; 0 while it is open. */
  endedAt: number
  /** The close code the client saw. */
  code: number
}

export interface ClientRecord {
  readonly kind: 'sdk' | 'plain'
  readonly sockets: SocketRecord[]
  /** Tallies handed out: version and time, alternating. */
  readonly tallies: number[]
  /** How often a tally was not newer than one handed out before. */
  backwards: number
  /** States the SDK passed through after it was first live. */
  readonly states: string[]
}

/** Open sockets by slot at one moment. */
export interface Sample {
  readonly at: number
  readonly sockets: Readonly<Record<string, number>>
}

/** One gateway that was replaced. */
export interface Replacement {
  readonly slot: string
  readonly signalledAt: number
  readonly exitedAt: number
  readonly exitCode: number | null
}

export interface HttpRecord {
  requests: number
  readonly failures: string[]
}

export interface RolloutRecord {
  readonly startedAt: number
  readonly endedAt: number
  readonly deadlineMs: number
  readonly clients: readonly ClientRecord[]
  readonly samples: readonly Sample[]
  readonly replacements: readonly Replacement[]
  /** Every version that was published, in order of arrival. */
  readonly published: readonly { readonly version: number; readonly at: number }[]
  readonly http: HttpRecord
  /** Votes the API acknowledged. */
  readonly votesAcknowledged: number
}
