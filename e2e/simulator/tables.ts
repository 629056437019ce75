/**
 * The tables and triggers of Livetally as a model, and the statement that casts a batch. It knows no SQL, which the tests on real servers
 * hold; it has what the readers and writers can tell apart: epochs, revisions, transaction ids, slots.
 */
import type { BatchedVote } from '../../backend/ballots/cast-batch.ts'
import type { TalliedPoll } from '../../backend/tallies/tally.ts'
import { time } from './scheduler.ts'

export type PollRow = TalliedPoll & { readonly xid: number; readonly changeAllowed: boolean }
interface CounterRow {
  readonly option: string
  readonly slot: number
  readonly n: number
  readonly ver: number
  readonly changedAt: number
  readonly xid: number
}
interface BallotRow {
  readonly option: string
  readonly order: number
}
export type ReferredVote = BatchedVote & { readonly ref: number }
/** A transaction's work at its commit, given its id. */
export type Write<T = void> = (xid: number) => T

const DATE_MS = Date.UTC(2026, 10, 25)
const EPOCHS_SINCE_S = Date.UTC(2025, 0, 1) / 1_000

/** What is committed. Every map keeps its order, so that a seed repeats. */
export class Tables {
  readonly polls = new Map<number, PollRow>()
  /** By poll, then by slot and option. */
  readonly counters = new Map<number, Map<string, CounterRow>>()
  /** By poll, then by voter. */
  readonly ballots = new Map<number, Map<string, BallotRow>>()
  removed: { readonly id: number; readonly slug: string; readonly epoch: number; readonly xid: number }[] = []
  origin: { readonly identity: string; readonly epoch: number } | undefined
  nextXid = 700
  nextPoll = 1
  /** How far the log is written. */
  lsn = 1_000

  copy(): Tables {
    const { polls, counters, ballots, removed, origin, nextXid, nextPoll, lsn } = this
    const copied = structuredClone({ polls, counters, ballots, removed, origin, nextXid, nextPoll, lsn })
    return Object.assign(new Tables(), copied)
  }

  named(slug: string): PollRow | undefined {
    return [...this.polls.values()].find((poll) => poll.slug === slug)
  }

  /** A poll with its counters, as the tally queries return it. */
  counted(poll: PollRow) {
    const { changeAllowed, visibility } = poll
    return {
      poll,
      settings: { changeAllowed, visibility, policy: 'cookie' },
      counters: [...(this.counters.get(poll.id)?.values() ?? [])],
    }
  }

  /** What the triggers do for changed ballots. */
  #count(poll: number, slot: number, xid: number, changes: ReadonlyMap<string, number>): void {
    const counters = this.counters.get(poll) ?? new Map<string, CounterRow>()
    this.counters.set(poll, counters)
    for (const [option, by] of changes) {
      if (by === 0) continue
      const known = counters.get(`${slot} ${option}`)
      const changedAt = Math.floor(DATE_MS + time())
      counters.set(`${slot} ${option}`, { option, slot, n: (known?.n ?? 0) + by, ver: (known?.ver ?? 0) + 1, changedAt, xid })
    }
  }

  cast(xid: number, slot: number, votes: readonly ReferredVote[]): object[] {
    const rows: object[] = []
    const chosen = new Map<string, ReferredVote & { readonly poll: PollRow }>()
    const finals = new Set<number>()
    for (const [index, vote] of votes.entries()) {
      const poll = this.named(vote.slug)
      if (poll !== undefined && !poll.changeAllowed) finals.add(vote.ref)
      const refusal =
        poll === undefined
          ? 'unknown-poll'
          : poll.state === 'closed'
            ? 'closed'
            : poll.options.some(({ id }) => id === vote.option)
              ? undefined
              : 'unknown-option'
      if (refusal !== undefined || poll === undefined) {
        rows.push({ kind: 'refused', ref: index + 1, voter: null, detail: refusal, vote_order: null })
        continue
      }
      const key = `${vote.ref} ${vote.voter}`
      const before = chosen.get(key)
      if (before === undefined || (poll.changeAllowed && vote.order > before.order)) chosen.set(key, { ...vote, poll })
    }
    for (const ref of finals) rows.push({ kind: 'final', ref, voter: null, detail: null, vote_order: null })
    const added = new Map<number, Map<string, number>>()
    const moved = new Map<number, Map<string, number>>()
    const change = (changes: typeof added, poll: number, option: string, by: number) => {
      const of = changes.get(poll) ?? new Map<string, number>()
      changes.set(poll, of.set(option, (of.get(option) ?? 0) + by))
    }
    for (const { poll, ref, voter, option, order } of chosen.values()) {
      const ballots = this.ballots.get(poll.id) ?? new Map<string, BallotRow>()
      this.ballots.set(poll.id, ballots)
      const known = ballots.get(voter)
      let stands: BallotRow = { option, order }
      if (known === undefined) change(added, poll.id, option, 1)
      else if (known.option === option && known.order === order) continue
      else if (!poll.changeAllowed || order <= known.order) stands = known
      else if (known.option !== option) {
        change(moved, poll.id, known.option, -1)
        change(moved, poll.id, option, 1)
      }
      ballots.set(voter, stands)
      if (!poll.changeAllowed || stands.option !== option || stands.order !== order) {
        rows.push({ kind: 'stands', ref, voter, detail: stands.option, vote_order: String(stands.order) })
      }
    }
    for (const [poll, changes] of added) this.#count(poll, slot, xid, changes)
    for (const [poll, changes] of moved) this.#count(poll, slot, xid, changes)
    return rows
  }

  /** What begins a new history of the database, unless somebody else has begun it. */
  beginHistory(xid: number, here: string, before: string, epoch: number, seen: number): void {
    const { origin } = this
    if (origin?.identity !== before || origin.epoch !== epoch) return
    const seconds = Math.floor((DATE_MS + time()) / 1_000 - EPOCHS_SINCE_S)
    this.origin = { identity: here, epoch: Math.max(epoch + 1, seen + 1, seconds) }
    this.removed = this.removed.map((row) => ({ ...row, xid }))
    for (const [id, counters] of this.counters) {
      this.counters.set(id, new Map([...counters].map(([key, counter]) => [key, { ...counter, xid }])))
    }
    for (const poll of this.polls.values()) this.#keepPoll(poll, xid, { epoch: Math.max(poll.epoch + 1, this.origin.epoch) })
  }

  #keepPoll(poll: PollRow, xid: number, change: Partial<PollRow>): PollRow {
    const updatedAt = new Date(Math.floor(DATE_MS + time())).toISOString()
    const after = { ...poll, ...change, revision: poll.revision + 1, updatedAt, xid }
    this.polls.set(poll.id, after)
    return after
  }

  /** What organisers do. Each is to be run in a transaction, whose id it is given. */
  edit(slug: string, change: Partial<PollRow>): Write {
    return (xid) => {
      const poll = this.named(slug)
      if (poll !== undefined) this.#keepPoll(poll, xid, change)
    }
  }
  reset(slug: string): Write {
    return (xid) => {
      const poll = this.named(slug)
      if (poll === undefined) return
      this.#keepPoll(poll, xid, { epoch: poll.epoch + 1 })
      this.#clear(poll.id, xid)
    }
  }
  #clear(poll: number, xid: number): void {
    const gone = new Map<string, number>()
    for (const { option } of this.ballots.get(poll)?.values() ?? []) gone.set(option, (gone.get(option) ?? 0) - 1)
    this.ballots.delete(poll)
    this.#count(poll, 64, xid, gone)
  }
  remove(slug: string): Write {
    return (xid) => {
      const poll = this.named(slug)
      if (poll === undefined) return
      this.polls.delete(poll.id)
      this.removed.push({ id: poll.id, slug, epoch: poll.epoch, xid })
      this.ballots.delete(poll.id)
      this.counters.delete(poll.id)
    }
  }
  create(slug: string): Write {
    return (xid) => {
      if (this.named(slug) !== undefined) return
      const epoch = Math.max(
        1,
        this.origin?.epoch ?? 0,
        ...this.removed.filter((row) => row.slug === slug).map((row) => row.epoch + 1),
      )
      const id = this.nextPoll++
      const options = ['yes', 'no'].map((option) => ({ id: option, label: option }))
      const updatedAt = new Date(Math.floor(DATE_MS + time())).toISOString()
      const definition = {
        id,
        slug,
        question: `${slug}?`,
        options,
        state: 'open',
        visibility: 'live',
        opensAt: null,
        closesAt: null,
      } as const
      this.polls.set(id, { ...definition, epoch, revision: 1, updatedAt, source: null, xid, changeAllowed: true })
    }
  }
}
