/**
 * The connection as a pure function: what is known and one event give what is known next and the effects that the shell runs.
 *
 *   connecting ──▶ live ◀──▶ moving          `feed` is the socket the listeners hear,
 *       │           │ ▲         │            `next` the one being opened to take its place.
 *       ▼           ▼ │         ▼            live and moving have a feed; the others have none.
 *     stale ◀── reconnecting ◀──┘            closed is final. docs/protocol.md has the table.
 */
import { backoffMs } from '../../../shared/protocol/backoff.ts'
import type { CloseCode } from '../../../shared/protocol/close-codes.ts'
import type { Frame, GoneFrame, PollFrame, TallyFrame } from '../../../shared/protocol/frames.ts'
import { isNewer } from '../../../shared/protocol/order.ts'

export type State = 'connecting' | 'live' | 'moving' | 'reconnecting' | 'stale' | 'closed'
export type Source = 'feed' | 'next'
/** `dial`: open the next socket. `lapse`: too long without a feed. `feed`, `next`: that socket has been silent too long. */
export type Timer = 'dial' | 'lapse' | 'feed' | 'next'

/** Two missed `alive` frames and some slack: the feed is dead. */
const silenceMs = 35_000
/** How long a new socket has to open, and then again to send the first tally of every poll. */
const patienceMs = 10_000
/** Without a feed for this long, numbers on screen are called old. A socket being opened on a wake gets as long. */
const lapseMs = 2_000
/** An `alive` is overdue: after a wake the feed cannot be trusted. */
const quietMs = 16_000
/** A feed lost sooner than this does not reset the backoff, so a server that accepts and drops is not hammered. */
const settledMs = 5_000
/** On `drain`, dial after a random part of a quarter of the time left, and at most of this. */
const spreadMs = 2_000
const OVERLOAD_BACKOFF = { baseMs: 2_000, capMs: 30_000 }

export interface Model {
  readonly state: State
  /** The polls the next socket will ask for. */
  readonly polls: readonly string[]
  /** The next socket: not needed, waiting for its timer, or being opened. */
  readonly next: 'none' | 'waiting' | 'dialing'
  /** Polls whose first tally, or `gone`, the next socket still owes. */
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
  /** What the last `alive` said of the source; from a server before livetally.v1.1 the same time twice means that it is silent. */
  readonly sourceAt?: string
  readonly delayed: boolean
  /** Why it is closed. */
  readonly code?: number | undefined
  readonly reason?: string | undefined
}

export type Event =
  | { readonly type: 'want'; readonly polls: readonly string[] }
  | SocketEvent
  | { readonly type: 'due'; readonly from: Timer }
  /** The device woke or the page is looked at again; `network` when the network itself changed. */
  | { readonly type: 'wake'; readonly network: boolean }
  | { readonly type: 'stop' }

/** What a socket says. */
export interface SocketEvent {
  readonly type: 'open' | 'message' | 'close'
  /** Undefined when the client has left the socket. */
  readonly from: Source | undefined
  /** Of a message, unless it was no JSON. */
  readonly frame?: Frame | undefined
  /** Of a close. */
  readonly code?: number
  readonly reason?: string
}

/** What the shell runs, in this order. */
export interface Effects {
  /** Give this frame to the listeners. */
  deliver?: PollFrame | TallyFrame | GoneFrame
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
    timers.set('next', patienceMs)
    effects.dial = true
  }
  const dialIn = (ms: number) => {
    model.next = 'waiting'
    clear('next')
    timers.set('dial', ms)
  }
  const backOff = (code?: number) =>
    // the table of the codes is the server's: it is checked, and not loaded
    dialIn(
      backoffMs(model.attempt++, random, code === (1013 satisfies typeof CloseCode.tryAgainLater) ? OVERLOAD_BACKOFF : undefined),
    )
  const lose = (from: Source, code?: number) => {
    effects.drop.push(from)
    if (from === 'feed') {
      model.state = 'reconnecting'
      if (now - model.liveAt >= settledMs) model.attempt = 0
      clear('feed')
      timers.set('lapse', lapseMs)
    }
    if (from === 'next' || next !== 'dialing') backOff(code)
  }
  const end = (code?: number, reason?: string) => {
    model.state = 'closed'
    model.next = 'none'
    model.code = code
    model.reason = reason
    effects.drop.push('feed', 'next')
    clear('dial', 'lapse', 'feed', 'next')
  }
  const receive = (from: Source, poll: string) => {
    if (from === 'feed') return
    model.missing = model.missing.filter((each) => each !== poll)
    if (model.missing.length) return
    model.state = 'live'
    model.next = 'none'
    model.liveAt = model.heardAt = now
    effects.promote = true
    clear('next', 'lapse')
    timers.set('feed', silenceMs)
  }
  const hear = (from: Source, frame: Frame | undefined) => {
    if (from === 'feed') {
      model.heardAt = now
      timers.set('feed', silenceMs)
    }
    if (frame?.type === 'poll') {
      const known = model.defined.get(frame.poll)
      // Servers before livetally.v1.1 give definitions no order.
      if (frame.version === undefined ? JSON.stringify(frame) !== JSON.stringify(known) : isNewer(frame, known)) {
        model.defined = new Map(model.defined).set(frame.poll, frame)
        effects.deliver = frame
      }
    } else if (frame?.type === 'tally') {
      const seen = model.seen.get(frame.poll)
      if (isNewer(frame, seen)) {
        model.seen = new Map(model.seen).set(frame.poll, frame)
        effects.deliver = frame
        // The first tally of a poll may be an old one.
        if (seen) model.delayed = false
      }
      if (!model.delayed && !isNewer(seen ?? frame, frame)) model.asOf = now
      receive(from, frame.poll)
    } else if (frame?.type === 'gone') {
      const rest = model.polls.filter((each) => each !== frame.poll)
      if (rest.length) model.polls = rest
      effects.deliver = frame
      receive(from, frame.poll)
    } else if (frame?.type === 'alive') {
      const { at, silentMs } = frame
      model.delayed = silentMs === undefined ? at === model.sourceAt : silentMs > 0
      model.sourceAt = at
      if (silentMs || !model.delayed) model.asOf = now - (silentMs ?? 0)
    } else if (frame?.type === 'drain') {
      if (from === 'next') lose(from)
      else if (state === 'live') {
        model.state = 'moving'
        model.attempt = 0
        dialIn(random() * Math.min(frame.closeAfterMs / 4, spreadMs))
      }
    }
  }

  // An event about a socket or a timer that is gone changes nothing.
  const hasFeed = state === 'live' || state === 'moving'
  const here = { feed: hasFeed, next: next === 'dialing', dial: next === 'waiting', lapse: !hasFeed && next !== 'none' }
  if (state === 'closed' || ('from' in event && !(event.from && here[event.from]))) return { model: before, effects }

  if (event.type === 'stop') end()
  else if (event.type === 'open') timers.set('next', patienceMs)
  else if (event.type === 'message') hear(event.from!, event.frame)
  else if (event.type === 'close') {
    // While moving, next asks for the polls that are wanted now, and has the last word.
    if (event.code! >= 4400 && event.code! < 4500 && (event.from === 'next' || next === 'none')) end(event.code, event.reason)
    else lose(event.from!, event.code)
  } else if (event.type === 'due') {
    if (event.from === 'dial') dial()
    else if (event.from === 'lapse') model.state = 'stale'
    else lose(event.from)
  } else if (event.type === 'wake') {
    if (next === 'waiting') dial()
    else if (next === 'dialing') timers.set('next', lapseMs)
    else if (hasFeed && (event.network || now - model.heardAt > quietMs)) {
      model.state = 'moving'
      dial()
    }
  } else if (event.type === 'want') {
    const more = event.polls.some((poll) => !model.polls.includes(poll))
    // Without subscriptions the model keeps the last polls: a socket for no poll would get no tally and never be live.
    if (event.polls.length) model.polls = event.polls
    if (more && next !== 'waiting') {
      if (hasFeed) model.state = 'moving'
      else if (next === 'none') timers.set('lapse', lapseMs)
      effects.drop.push('next')
      dial()
    }
  }
  return { model, effects }
}
