/** Which faults a seed plans, in which order and with which particulars. Pure: faults.ts performs them. */
import { createRandom, type Random } from './random.ts'

/** Services whose connections a fault touches: one by its name, or all. */
export type Reach = 'all' | 'backend-0' | 'backend-1' | 'gateway-0' | 'gateway-1' | 'gateway-2'
/** Which of the backends. */
export type Replica = 0 | 1
/** Which of the gateways. */
export type GatewayReplica = 0 | 1 | 2

export type Fault =
  | { readonly kind: 'redis stalls'; readonly forMs: number }
  | { readonly kind: 'redis dies'; readonly downMs: number }
  | { readonly kind: 'redis comes back older'; readonly ageMs: number; readonly downMs: number }
  | {
      readonly kind: 'redis cuts connections'
      readonly type: 'normal' | 'pubsub'
      readonly everyMs: number
      readonly forMs: number
    }
  | { readonly kind: 'redis is emptied'; readonly times: number; readonly everyMs: number }
  | { readonly kind: 'redis carries rubbish'; readonly ageMs: number; readonly copies: number }
  | { readonly kind: 'redis out of reach'; readonly reach: Reach; readonly forMs: number; readonly end: 'cut' | 'resume' }
  | { readonly kind: 'postgres out of reach'; readonly reach: Reach; readonly forMs: number; readonly end: 'cut' | 'resume' }
  | { readonly kind: 'postgres restarts'; readonly how: 'fast' | 'immediate'; readonly downMs: number }
  | { readonly kind: 'postgres cuts connections' }
  | { readonly kind: 'postgres loses answers'; readonly times: number; readonly heldMs: number; readonly everyMs: number }
  | { readonly kind: 'postgres server process dies' }
  | { readonly kind: 'postgres server process stalls'; readonly forMs: number }
  | { readonly kind: 'postgres has no connection left'; readonly forMs: number }
  | { readonly kind: 'ballots are locked'; readonly forMs: number }
  | { readonly kind: 'backend stalls'; readonly replica: Replica; readonly forMs: number }
  | { readonly kind: 'backend dies'; readonly replica: Replica; readonly downMs: number }
  | { readonly kind: 'backend is replaced'; readonly replica: Replica }
  | { readonly kind: 'gateway stalls'; readonly replica: GatewayReplica; readonly forMs: number; readonly flooded: boolean }
  | { readonly kind: 'gateway dies'; readonly replica: GatewayReplica; readonly downMs: number }
  | { readonly kind: 'gateway is replaced'; readonly replica: GatewayReplica }
  | { readonly kind: 'services leave without redis'; readonly replica: Replica }
  | { readonly kind: 'services leave without postgres'; readonly replica: Replica }
  | { readonly kind: 'many read'; readonly reads: number }
  | { readonly kind: 'clients do not read'; readonly clients: number; readonly forMs: number }
  | { readonly kind: 'upgrades break off'; readonly each: number }
  | { readonly kind: 'wrong frames'; readonly each: number }
  | { readonly kind: 'strangers ask'; readonly times: number }
  | { readonly kind: 'one voter votes at once'; readonly votes: number; readonly times: number }
  | { readonly kind: 'machine is busy'; readonly burners: number; readonly forMs: number }

export type FaultKind = Fault['kind']

export interface PlannedFault {
  /** Quiet before it, in ms, from the moment everything is well again. */
  readonly quietMs: number
  readonly fault: Fault
}

const replica = (random: Random) => random.pick<Replica>([0, 1])
const gatewayReplica = (random: Random) => random.pick<GatewayReplica>([0, 1, 2])
const end = (random: Random) => random.pick<'cut' | 'resume'>(['cut', 'resume'])

/** Draws the particulars of a fault of each kind. */
const DRAW: { readonly [Kind in FaultKind]: (random: Random) => Extract<Fault, { kind: Kind }> } = {
  'redis stalls': (random) => ({ kind: 'redis stalls', forMs: random.between(1_000, 8_000) }),
  'redis dies': (random) => ({ kind: 'redis dies', downMs: random.between(100, 4_000) }),
  'redis comes back older': (random) => ({
    kind: 'redis comes back older',
    ageMs: random.between(2_000, 8_000),
    downMs: random.between(100, 1_000),
  }),
  'redis cuts connections': (random) => ({
    kind: 'redis cuts connections',
    type: random.pick(['normal', 'pubsub']),
    everyMs: random.between(50, 600),
    forMs: random.between(1_000, 6_000),
  }),
  'redis is emptied': (random) => ({
    kind: 'redis is emptied',
    times: random.between(1, 8),
    everyMs: random.between(50, 1_500),
  }),
  'redis carries rubbish': (random) => ({
    kind: 'redis carries rubbish',
    ageMs: random.between(1_000, 5_000),
    copies: random.between(2, 200),
  }),
  'redis out of reach': (random) => ({
    kind: 'redis out of reach',
    reach: random.pick<Reach>(['all', 'all', 'backend-0', 'backend-1', 'gateway-0', 'gateway-1', 'gateway-2']),
    forMs: random.between(1_000, 8_000),
    end: end(random),
  }),
  'postgres out of reach': (random) => ({
    kind: 'postgres out of reach',
    reach: random.pick<Reach>(['all', 'backend-0', 'backend-1']),
    forMs: random.between(1_000, 8_000),
    end: end(random),
  }),
  'postgres restarts': (random) => ({
    kind: 'postgres restarts',
    how: random.pick(['fast', 'immediate']),
    downMs: random.between(0, 2_000),
  }),
  'postgres cuts connections': () => ({ kind: 'postgres cuts connections' }),
  'postgres loses answers': (random) => ({
    kind: 'postgres loses answers',
    times: random.between(2, 10),
    heldMs: random.between(10, 200),
    everyMs: random.between(200, 1_500),
  }),
  'postgres server process dies': () => ({ kind: 'postgres server process dies' }),
  'postgres server process stalls': (random) => ({
    kind: 'postgres server process stalls',
    forMs: random.between(3_000, 12_000),
  }),
  'postgres has no connection left': (random) => ({
    kind: 'postgres has no connection left',
    forMs: random.between(2_000, 8_000),
  }),
  'ballots are locked': (random) => ({ kind: 'ballots are locked', forMs: random.between(3_000, 10_000) }),
  'backend stalls': (random) => ({ kind: 'backend stalls', replica: replica(random), forMs: random.between(3_000, 12_000) }),
  'backend dies': (random) => ({ kind: 'backend dies', replica: replica(random), downMs: random.between(0, 2_000) }),
  'backend is replaced': (random) => ({ kind: 'backend is replaced', replica: replica(random) }),
  'gateway stalls': (random) => ({
    kind: 'gateway stalls',
    replica: gatewayReplica(random),
    forMs: random.between(3_000, 12_000),
    flooded: random.pick([true, false]),
  }),
  'gateway dies': (random) => ({ kind: 'gateway dies', replica: gatewayReplica(random), downMs: random.between(0, 2_000) }),
  'gateway is replaced': (random) => ({ kind: 'gateway is replaced', replica: gatewayReplica(random) }),
  'services leave without redis': (random) => ({ kind: 'services leave without redis', replica: replica(random) }),
  'services leave without postgres': (random) => ({ kind: 'services leave without postgres', replica: replica(random) }),
  'many read': (random) => ({ kind: 'many read', reads: random.between(1_500, 2_500) }),
  'clients do not read': (random) => ({
    kind: 'clients do not read',
    clients: 100,
    forMs: random.between(3_000, 12_000),
  }),
  'upgrades break off': (random) => ({ kind: 'upgrades break off', each: random.between(5, 40) }),
  'wrong frames': (random) => ({ kind: 'wrong frames', each: random.between(1, 5) }),
  'strangers ask': (random) => ({ kind: 'strangers ask', times: random.between(1, 20) }),
  'one voter votes at once': (random) => ({ kind: 'one voter votes at once', votes: 50, times: random.between(1, 5) }),
  'machine is busy': (random) => ({
    kind: 'machine is busy',
    burners: random.between(2, 4),
    forMs: random.between(2_000, 5_000),
  }),
}

const ENDING = new Set<FaultKind>([
  'backend dies',
  'backend is replaced',
  'gateway dies',
  'gateway is replaced',
  'services leave without redis',
  'services leave without postgres',
])

/** The fault, or where it ends a first replica, the same for the second one, so that the first lives long enough to be judged. */
export function sparingFirst(fault: Fault): Fault {
  return 'replica' in fault && fault.replica === 0 && ENDING.has(fault.kind) ? { ...fault, replica: 1 } : fault
}

export const FAULT_KINDS = Object.keys(DRAW) as FaultKind[]

/** The faults of a seed, without end: every kind once, in a drawn order, then every kind once more in another. */
export function* planFaults(seed: number, kinds: readonly FaultKind[] = FAULT_KINDS): Generator<PlannedFault, never> {
  const random = createRandom(seed)
  for (;;) {
    for (const kind of random.shuffled(kinds)) yield { quietMs: random.between(3_000, 10_000), fault: DRAW[kind](random) }
  }
}
