/** Says what must hold at every moment of a schedule and at its end, and notes the first thing that does not. */
import { snapshotOf } from '../../backend/tallies/tally.ts'
import { isNewer, type Versioned } from '../../shared/protocol/order.ts'
import type { Frame, PollFrame, TallyFrame } from '../../shared/protocol/frames.ts'
import type { BallotState } from '../../gateway/web/model/ballot-sender.ts'
import type { LedgerEntry, Screen, Service, SocketView, Voter } from './inhabitants.ts'
import type { PostgresServer } from './postgres.ts'
import { note, time } from './scheduler.ts'
import type { Sometimes } from './sometimes.ts'
import type { Witness } from './surroundings.ts'

export interface Violation {
  readonly promise: string
  readonly what: string
  readonly at: number
}

/** What the database had at some time; undefined while there was no such poll. */
interface Truth {
  readonly at: number
  readonly tally: TallyFrame | undefined
}

/** A screen that is further behind says so, or is excused: three seconds to call a source silent, one to read again, and the ways. */
const BEHIND_MS = 6_000
/** The longest time in which a process that is told to leave does so. */
const LEAVE_MS = 12_000 + 500
/** What nobody answers for so long is waited for in vain. */
const SETTLE_MS = 30_000

/** What it judges. */
interface Judged {
  readonly sometimes: Sometimes
  readonly postgres: PostgresServer
  readonly services: readonly Service[]
  readonly screens: readonly Screen[]
  readonly voters: readonly Voter[]
}

export class Judge implements Witness {
  violation: Violation | undefined
  /** By poll. */
  readonly truth = new Map<string, Truth[]>()
  /** When the database lost what was committed after another time. */
  readonly #losses: { readonly from: number; readonly to: number }[] = []
  /** When each poll was last reset or removed. */
  readonly emptied = new Map<string, number>()
  /** Only processes are replaced in this schedule, so that nobody may notice anything. */
  isQuiet = false
  readonly #bytes = new Map<string, string>()
  /** Every tally that the database ever had. */
  readonly #had = new Set<string>()
  readonly #pending = new Map<object, { readonly what: string; readonly since: number }>()
  readonly #world: Judged

  constructor(world: Judged) {
    this.#world = world
  }

  fail(promise: string, what: string): void {
    this.violation ??= { promise, what, at: time() }
  }

  /** A frame has come to a client, whether or not it shows it. */
  arrived(socket: SocketView, text: string): void {
    const frame = JSON.parse(text) as Frame
    if (frame.type === 'alive' && frame.silentMs) this.#world.sometimes.note('a client is told that the source is silent')
    if (frame.type === 'gone') for (const type of ['poll', 'tally']) socket.places.delete(`${type} ${frame.poll}`)
    if (frame.type !== 'tally' && frame.type !== 'poll') return
    const place = frame as typeof frame & Versioned
    const key = `${frame.type} ${frame.poll}`
    const before = socket.places.get(key)
    if (before !== undefined && isNewer(before, place)) {
      this.fail(
        'no socket brings an older tally or definition after a newer one',
        `${key} at ${socket.gateway}: ${placeOf(before)}, then ${placeOf(place)}`,
      )
    }
    socket.places.set(key, { epoch: place.epoch, version: place.version })
    const screen = this.#world.screens.find(({ sockets }) => sockets.has(socket))
    const others = [...(screen?.sockets ?? [])].map(({ places }) => places.get(key))
    if (screen?.client.status.state === 'moving' && others.some((other) => other && placeOf(other) !== placeOf(place))) {
      this.#world.sometimes.note('a client moves while its two gateways are at different versions')
    }
    if (frame.type === 'tally' && !this.#had.has(text)) this.fail('every tally was in the database', text)
    const version = `${key} ${placeOf(place)}`
    const bytes = this.#bytes.get(version)
    if (bytes === undefined) this.#bytes.set(version, text)
    else if (bytes !== text) this.fail('one version has one content', `${version} is ${bytes} and ${text}`)
  }

  /** A screen shows a tally. */
  shown(screen: Screen, tally: TallyFrame, poll: PollFrame): void {
    note(`${tally.poll} ${placeOf(tally)}`)
    const before = screen.shown.get(tally.poll)
    screen.shown.set(tally.poll, { tally, poll })
    screen.gone.delete(tally.poll)
    if (before === undefined) return
    if (isNewer(before.tally, tally)) {
      this.fail('no screen goes backwards', `${screen.machine.name}: ${placeOf(before.tally)}, then ${placeOf(tally)}`)
    }
    const [one, other] = [before.poll as Versioned, poll as Versioned]
    if (isNewer(one, other))
      this.fail('no screen goes back to an earlier definition', `${screen.machine.name}: ${placeOf(one)}, then ${placeOf(other)}`)
    const sum = Object.values(tally.counts ?? {}).reduce((total, n) => total + n, 0)
    if (tally.counts !== undefined && sum !== tally.total) this.fail('a total is the sum of its counts', JSON.stringify(tally))
    const { client } = screen
    if (client.status.state === 'moving' && before.tally.epoch < tally.epoch)
      this.#world.sometimes.note('a new epoch begins while a client moves')
  }

  statusChanged({ client, machine, slugs }: Screen): void {
    const { state, delayed, code } = client.status
    note(`${machine.name} ${state} ${delayed}`)
    const { sometimes, services } = this.#world
    if (state === 'stale') sometimes.note('a client shows old numbers as old')
    if (
      state === 'reconnecting' &&
      services.some((each) => each.kind === 'gateway' && each.leavingAt !== undefined && each.exitCode === undefined)
    ) {
      sometimes.note('a gateway drains while a client is reconnecting')
    }
    const isThere = (slug: string) => [0, BEHIND_MS].every((ago) => this.#at(slug, Math.max(0, time() - ago)) !== undefined)
    if (
      state === 'closed' &&
      code !== undefined &&
      slugs.some((slug) => isThere(slug) && (this.emptied.get(slug) ?? -Infinity) < time() - BEHIND_MS)
    ) {
      this.fail('no screen is closed that follows a poll that is there', `${machine.name} is closed with ${code}`)
    }
    if (this.isQuiet && (state === 'reconnecting' || state === 'stale')) {
      this.fail('no screen loses its feed while processes are replaced', `${machine.name} is ${state}`)
    }
  }

  voted(entry: LedgerEntry, state: BallotState): void {
    note(`${entry.option} ${state.kind}`)
    if (state.kind === 'overtaken') this.fail('no later vote is refused as an older one', `a vote for ${entry.slug}`)
    if (this.isQuiet && state.kind === 'sending' && state.isRetry) {
      this.fail('no vote fails while processes are replaced', `a vote for ${entry.slug} is sent again`)
    }
  }

  /** A transaction has committed: keeps what the database has now. */
  committed(): void {
    const { tables } = this.#world.postgres
    for (const slug of new Set([...this.truth.keys(), ...[...tables.polls.values()].map((poll) => poll.slug)])) {
      const poll = tables.named(slug)
      const tally = poll && snapshotOf(poll, tables.counted(poll).counters).tally
      const history = this.truth.get(slug) ?? []
      if (history.at(-1)?.tally?.version !== tally?.version || history.at(-1)?.tally?.epoch !== tally?.epoch)
        history.push({ at: time(), tally })
      this.#had.add(JSON.stringify(tally))
      this.truth.set(slug, history)
    }
  }

  /** The database has lost what was committed since a time. */
  lost(from: number): void {
    this.#losses.push({ from, to: time() })
    for (const [slug, history] of this.truth)
      this.truth.set(
        slug,
        history.filter(({ at }) => at < from),
      )
  }

  /** What the database had at a time. */
  #at(slug: string, at: number): TallyFrame | undefined {
    return this.truth.get(slug)?.findLast((each) => each.at <= at)?.tally
  }

  /** Looks at everything that must hold at any moment; to be called often. */
  look(): void {
    for (const screen of this.#world.screens) this.#lookAt(screen)
    for (const { what, since } of this.#pending.values()) {
      if (time() - since > SETTLE_MS) this.fail('nothing waits for ever', `${what} is not answered after ${SETTLE_MS} ms`)
    }
    for (const service of this.#world.services) {
      const { leavingAt, machine } = service
      if (leavingAt === undefined || machine.state !== 'runs' || time() <= leavingAt + LEAVE_MS) continue
      this.fail(
        'a process that is told to leave does so in time',
        `${machine.name} is there after ${Math.round(time() - leavingAt)} ms`,
      )
    }
  }

  #lookAt(screen: Screen): void {
    const { client, shown, gone, slugs, machine } = screen
    const { state, delayed } = client.status
    if ((state !== 'live' && state !== 'moving') || delayed || time() < screen.excusedUntil || machine.state !== 'runs') return
    for (const slug of slugs) {
      const then = this.#at(slug, time() - BEHIND_MS)
      const now = shown.get(slug)?.tally
      if (then === undefined || now === undefined || gone.has(slug) || !isNewer(then, now)) continue
      this.fail(
        'no screen calls itself live while it is behind',
        `${machine.name} shows ${slug} ${placeOf(now)}, and ${placeOf(then)} is ${BEHIND_MS} ms old`,
      )
    }
  }

  /** What is yet missing until every screen shows exactly what the database has; undefined once nothing is. */
  missing(): string | undefined {
    const { tables } = this.#world.postgres
    for (const { machine, client, shown, gone, slugs } of this.#world.screens) {
      const { state, delayed } = client.status
      if (state === 'closed') {
        if (slugs.some((slug) => tables.named(slug) !== undefined) && slugs.length > gone.size) return `${machine.name} is closed`
        continue
      }
      if (state !== 'live' || delayed) return `${machine.name} is ${state}${delayed ? ', delayed' : ''}`
      for (const slug of slugs) {
        const poll = tables.named(slug)
        if (poll === undefined) {
          if (!gone.has(slug)) return `${machine.name} does not know that ${slug} is gone`
          continue
        }
        const snapshot = snapshotOf(poll, tables.counted(poll).counters)
        const now = shown.get(slug)
        if (JSON.stringify(now?.tally) !== JSON.stringify(snapshot.tally)) {
          return `${machine.name} shows ${now ? placeOf(now.tally) : 'nothing'} of ${slug}, and the database has ${placeOf(snapshot.tally)}`
        }
        if (JSON.stringify(now?.poll) !== JSON.stringify(snapshot.poll))
          return `${machine.name} shows an old definition of ${slug}`
      }
    }
    return undefined
  }

  /** Whether every acknowledged vote stands, or a later one of its voter. */
  mustKeepVotes(): void {
    const { postgres, voters } = this.#world
    for (const { ledger, slug, voter, machine } of voters) {
      const poll = postgres.tables.named(slug)
      const emptiedAt = this.emptied.get(slug) ?? -1
      const isLost = ({ countedAt }: LedgerEntry) => this.#losses.some(({ from, to }) => countedAt! >= from && countedAt! <= to)
      const counted = ledger.findLast((entry) => entry.countedAt !== undefined && entry.at > emptiedAt && !isLost(entry))
      if (counted === undefined || poll === undefined) continue
      const ballot = postgres.tables.ballots.get(poll.id)?.get(voter() ?? '')
      const later = ledger.slice(ledger.indexOf(counted)).map(({ option }) => option)
      if (ballot === undefined || !later.includes(ballot.option)) {
        this.fail(
          'an acknowledged vote stands',
          `${machine.name} was told ${counted.option} counts, and its ballot is ${ballot?.option}`,
        )
      }
    }
  }

  /** Work that has to end, unless its process does. */
  async mustSettle<T>(what: string, work: Promise<T>): Promise<T> {
    const key = {}
    this.#pending.set(key, { what, since: time() })
    return await work.finally(() => this.#pending.delete(key))
  }
  /** What was under way in a process that was killed or stopped is excused. */
  forgetPending(): void {
    this.#pending.clear()
  }

  left({ machine, exitCode, leavingAt, isExcused }: Service): void {
    if (leavingAt === undefined) this.fail('no process ends by itself', `${machine.name} ends with ${exitCode}`)
    else if (exitCode !== 0 && !isExcused)
      this.fail('a process that is told to leave ends with 0', `${machine.name} ends with ${exitCode}`)
  }
}

const placeOf = ({ epoch, version }: Versioned) => `${epoch}.${version}`
