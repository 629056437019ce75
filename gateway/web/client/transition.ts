/**
 * The connection as a pure function: what is known and one event give what is known next and the effects that the shell runs.
 *
 *   connecting ──▶ live ◀──▶ moving          `feed` is the socket the listeners hear,
 *       │           │ ▲         │            `next` the one being opened to take its place.
 *       ▼           ▼ │         ▼            live and moving have a feed; the others have none.
 *     stale ◀── reconnecting ◀──┘            closed is final. docs/protocol.md has the table.
 */
import { backoffMs } from '../../../shared/protocol/backoff.ts'
import { CloseCode, isFinal } from '../../../shared/protocol/close-codes.ts'
import type { Frame, PollFrame, TallyFrame } from '../../../shared/protocol/frames.ts'
import { isNewer } from '../../../shared/protocol/order.ts'

export type State = 'connecting' | 'live' | 'moving' | 'reconnecting' | 'stale' | 'closed'
export type Source = 'feed' | 'next'
/** `dial`: open the next socket. `lapse`: too long without a feed. `feed`, `next`: that socket has been silent too long. */
export type Timer = 'dial' | 'lapse' | 'feed' | 'next'

export const Timing = {
  /** Two missed `alive` frames and some slack: the feed is dead. */
  silenceMs: 35_000,
  /** How long a new socket has to open, and then again to send the first tally of every poll. */
  patienceMs: 10_000,
  /** Without a feed for this long, numbers on screen are called old. A socket being opened on a wake gets as long. */
  lapseMs: 2_000,
  /** An `alive` is overdue: after a wake the feed cannot be trusted. */
  quietMs: 16_000,
  /** A feed lost sooner than this does not reset the backoff, so a server that accepts and drops is not hammered. */
  settledMs: 5_000,
  /** On `drain`, dial after a random part of a quarter of the time left, and at most of this. */
  spreadMs: 2_000,
}
export const OVERLOAD_BACKOFF = { baseMs: 2_000, capMs: 30_000 }

export interface Model {
  readonly state: State
  /** The polls the next socket will ask for. */
  readonly polls: readonly string[]
  /** The next socket: not needed, waiting for its timer, or being opened. */
  readonly next: 'none' | 'waiting' | 'dialing'
  /** Polls whose first tally the next socket still owes. */
  readonly missing: readonly string[]
  /** Dials since a feed last settled. */
  readonly attempt: number
  /** The newest definition and tally delivered of each poll. */
  readonly defined: ReadonlyMap<string, PollFrame>
  readonly seen: ReadonlyMap<string, TallyFrame>
  /** When the feed took over, and when it last sent anything. */
  readonly liveAt: number
  readonly heardAt: number
  /** When the tallies delivered were last known to be current. */
  readonly asOf?: number
  /** What the last `alive` said of the source; the same time twice means that the source is silent behind a good connection. */
  readonly sourceAt?: string
  readonly delayed: boolean
  /** Why it is closed. */
  readonly code?: number | undefined
  readonly reason?: string | undefined
}

export type Event =
  | { readonly type: 'want'; readonly polls: readonly string[] }
  /** `from` is undefined when the client has left the socket; `frame` when the message was no JSON. */
  | { readonly type: 'open'; readonly from: Source | undefined }
  | { readonly type: 'frame'; readonly from: Source | undefined; readonly frame: Frame | undefined }
  | { readonly type: 'close'; readonly from: Source | undefined; readonly code: number; readonly reason: string }
  | { readonly type: 'due'; readonly from: Timer }
  /** The device woke or the page is looked at again; `network` when the network itself changed. */
  | { readonly type: 'wake'; readonly network: boolean }
  | { readonly type: 'stop' }

/** What the shell runs, in this order. */
export interface Effects {
  /** Give this frame to the listeners. */
  deliver?: PollFrame | TallyFrame
  /** Leave these sockets, where there are any, with 1000. */
  readonly drop: Source[]
  /** Next becomes feed; the feed before it, if any, is left with 1000. */
  promote?: true
  /** Open a socket for `model.polls` and call it next. */
  dial?: true
  /** Set these timers anew, or clear those without a time. */
  readonly timers: Map<Timer, number | undefined>
}

export const initial: Model = {
  state: 'connecting',
  polls: [],
  next: 'none',
  missing: [],
  attempt: 0,
  defined: new Map(),
  seen: new Map(),
  liveAt: 0,
  heardAt: 0,
  delayed: false,
}

/** One step at the time `now` in milliseconds; `random` is in [0, 1). The model given is left as it was. */
export function transition(before: Model, event: Event, now: number, random: () => number): { model: Model; effects: Effects } {
  const { state, next } = before
  const model: { -readonly [Key in keyof Model]: Model[Key] } = { ...before }
  const timers: Effects['timers'] = new Map()
  const effects: Effects = { drop: [], timers }
  const clear = (...names: Timer[]) => names.forEach((name) => timers.set(name, undefined))

  const dial = () => {
    model.next = 'dialing'
    model.missing = model.polls
    clear('dial')
    timers.set('next', Timing.patienceMs)
    effects.dial = true
  }
  const dialIn = (ms: number) => {
    model.next = 'waiting'
    clear('next')
    timers.set('dial', ms)
  }
  const backOff = (code?: number) =>
    dialIn(backoffMs(model.attempt++, random, code === CloseCode.tryAgainLater ? OVERLOAD_BACKOFF : undefined))
  const lose = (from: Source, code?: number) => {
    effects.drop.push(from)
    if (from === 'feed') {
      model.state = 'reconnecting'
      if (now - model.liveAt >= Timing.settledMs) model.attempt = 0
      clear('feed')
      timers.set('lapse', Timing.lapseMs)
    }
    if (from === 'next' || next !== 'dialing') backOff(code)
  }
  const promote = () => {
    model.state = 'live'
    model.next = 'none'
    model.liveAt = model.heardAt = now
    effects.promote = true
    clear('next', 'lapse')
    timers.set('feed', Timing.silenceMs)
  }
  const end = (code?: number, reason?: string) => {
    model.state = 'closed'
    model.next = 'none'
    model.code = code
    model.reason = reason
    effects.drop.push('feed', 'next')
    clear('dial', 'lapse', 'feed', 'next')
  }
  const hear = (from: Source, frame: Frame | undefined) => {
    if (from === 'feed') {
      model.heardAt = now
      timers.set('feed', Timing.silenceMs)
    }
    if (frame?.type === 'poll') {
      if (JSON.stringify(frame) !== JSON.stringify(model.defined.get(frame.poll))) {
        model.defined = new Map(model.defined).set(frame.poll, frame)
        effects.deliver = frame
      }
    } else if (frame?.type === 'tally') {
      const seen = model.seen.get(frame.poll)
      if (isNewer(frame, seen)) {
        model.seen = new Map(model.seen).set(frame.poll, frame)
        effects.deliver = frame
      }
      if (!seen || !isNewer(seen, frame)) {
        model.asOf = now
        model.delayed = false
      }
      if (from === 'next') {
        model.missing = model.missing.filter((poll) => poll !== frame.poll)
        if (!model.missing[0]) promote()
      }
    } else if (frame?.type === 'alive') {
      model.delayed = frame.at === model.sourceAt
      model.sourceAt = frame.at
      if (!model.delayed) model.asOf = now
    } else if (frame?.type === 'drain') {
      if (from === 'next') lose(from)
      else if (state === 'live') {
        model.state = 'moving'
        model.attempt = 0
        dialIn(random() * Math.min(frame.closeAfterMs / 4, Timing.spreadMs))
      }
    }
  }

  // An event about a socket or a timer that is gone changes nothing.
  const hasFeed = state === 'live' || state === 'moving'
  const here = { feed: hasFeed, next: next === 'dialing', dial: next === 'waiting', lapse: !hasFeed && next !== 'none' }
  if (state === 'closed' || ('from' in event && !(event.from && here[event.from]))) return { model: before, effects }

  if (event.type === 'stop') end()
  else if (event.type === 'open') timers.set('next', Timing.patienceMs)
  else if (event.type === 'frame') hear(event.from!, event.frame)
  else if (event.type === 'close') {
    if (isFinal(event.code)) end(event.code, event.reason)
    else lose(event.from!, event.code)
  } else if (event.type === 'due') {
    if (event.from === 'dial') dial()
    else if (event.from === 'lapse') model.state = 'stale'
    else lose(event.from)
  } else if (event.type === 'wake') {
    if (next === 'waiting') dial()
    else if (next === 'dialing') timers.set('next', Timing.lapseMs)
    else if (hasFeed && (event.network || now - model.heardAt > Timing.quietMs)) {
      model.state = 'moving'
      dial()
    }
  } else {
    const more = event.polls.some((poll) => !model.polls.includes(poll))
    // Without subscriptions the model keeps the last polls: a socket for no poll would get no tally and never be live.
    if (event.polls[0]) model.polls = event.polls
    if (more && next !== 'waiting') {
      if (hasFeed) model.state = 'moving'
      else if (next === 'none') timers.set('lapse', Timing.lapseMs)
      effects.drop.push('next')
      dial()
    }
  }
  return { model, effects }
}
