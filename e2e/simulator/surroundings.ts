/** What stand-ins find around them: the world of the present schedule. */
import type { BallotState } from '../../gateway/web/model/ballot-sender.ts'
import type { Probes } from '../../shared/lifecycle/probes.ts'
import type { PollFrame, TallyFrame } from '../../shared/protocol/frames.ts'
import type { LedgerEntry, Screen, SocketView } from './inhabitants.ts'
import type { Network } from './network.ts'
import type { Sometimes } from './sometimes.ts'

/** Hears what happens. */
export interface Witness {
  /** A frame has come to a client, whether or not it shows it. */
  arrived(socket: SocketView, text: string): void
  shown(screen: Screen, tally: TallyFrame, poll: PollFrame): void
  statusChanged(screen: Screen): void
  voted(entry: LedgerEntry, state: BallotState): void
  /** A transaction has committed. */
  committed(): void
  /** Returns the work, which has to end unless its process does. */
  mustSettle<T>(what: string, work: Promise<T>): Promise<T>
}

export interface Surroundings {
  readonly network: Network
  readonly sometimes: Sometimes
  readonly judge: Witness
  /** The gateway for a new connection; a name that nobody has when none is ready. */
  readonly chooseGateway: () => string
  /** By backend, how many votes wait there. */
  readonly waitingVotes: Map<string, () => number>
  /** By service. */
  readonly probes: Map<string, Probes>
}

export let world: Surroundings

export function enter(surroundings: Surroundings): void {
  world = surroundings
}
