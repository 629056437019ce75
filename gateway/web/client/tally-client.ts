/**
 * The browser SDK of Livetally: live tallies over one connection that outlives the servers behind it.
 *
 *     const client = createTallyClient()
 *     client.subscribe('cats-or-dogs', (tally, poll) => {
 *       console.log(poll.question, tally.counts, tally.total)
 *     })
 *
 * Runs wherever WebSocket and EventTarget do: browsers, Node 22+, Deno. The connection's rules are in transition.ts.
 */
import type { Frame, GoneFrame, PollFrame, TallyFrame } from '../../../shared/protocol/frames.ts'
import { initial, transition, type Event as Step, type Effects, type Source, type State, type Timer } from './transition.ts'

export type { GoneFrame, PollFrame, State, TallyFrame }

export interface ClientOptions {
  /** Where the wire is; http and https are taken for ws and wss. Default: `/ws` on the server this module came from. */
  readonly url?: string | URL | undefined
  /** Aborting it closes the client. */
  readonly signal?: AbortSignal | undefined
  /** For runtimes that have none of their own. */
  readonly WebSocket?: typeof WebSocket
  /** Jitter: a number in [0, 1). */
  readonly random?: () => number
}

/** How good the numbers on screen are. */
export interface Status {
  /** `live` and `moving` are connected; `reconnecting` turns `stale` after 2 s; `closed` is final. */
  readonly state: State
  /** When the tallies were last known to be current, in milliseconds since 1970 by this device's clock. */
  readonly asOf?: number
  /** The connection is good, but the server itself hears nothing from its source. */
  readonly delayed: boolean
  /** After `closed`: the server's close code, or undefined when you closed it, and what it said. */
  readonly code?: number | undefined
  readonly reason?: string | undefined
}

export interface ClientEvents {
  readonly status: Status
  readonly tally: TallyFrame
  readonly poll: PollFrame
  readonly gone: GoneFrame
}

export type TallyListener = (tally: TallyFrame, poll: PollFrame) => void
export interface Followed {
  readonly tally: TallyFrame
  readonly poll: PollFrame
}
export interface Stoppable {
  readonly signal?: AbortSignal | undefined
}
export interface SubscribeOptions extends Stoppable {
  /**
   * Called when the server says that there is no such poll, or no longer. This subscription has ended; those of other polls go on,
   * unless the server refused all of them, which closes the client.
   */
  readonly onGone?: ((gone: GoneFrame) => void) | undefined
}

/** What an EventTarget has, its types known. Events concern all polls and carry their data in `event.detail`. */
export interface TallyClient {
  readonly status: Status
  /** Calls `listener` with what is known and with every change. The function returned, or `signal`, ends it. */
  subscribe(poll: string, listener: TallyListener, options?: SubscribeOptions): () => void
  /**
   * The same as an iteration. A slow reader skips to the newest; it ends with the client, and throws if the server refused the poll
   * or everything.
   */
  follow(poll: string, options?: Stoppable): AsyncGenerator<Followed, void, undefined>
  close(): void
  addEventListener<Type extends keyof ClientEvents>(type: Type, listener: Listener<Type>, options?: ListenerOptions): void
  removeEventListener<Type extends keyof ClientEvents>(type: Type, listener: Listener<Type>): void
}
type Listener<Type extends keyof ClientEvents> = (event: CustomEvent<ClientEvents[Type]>) => void
interface ListenerOptions {
  readonly once?: boolean
  readonly signal?: AbortSignal
}

/** A client that connects with its first subscription. It throws a TypeError at once if `url` is none. */
export function createTallyClient(options: ClientOptions = {}): TallyClient {
  const { url = '/ws', random = Math.random, WebSocket: Socket = WebSocket } = options
  const base = new URL(url, import.meta.url)
  base.protocol = base.protocol.replace('http', 'ws')
  // an EventTarget whose events are typed
  const target = new EventTarget() as Target
  // the listeners, each with its poll
  const subscribed = new Map<unknown, string>()
  const sockets: { [source in Source]?: WebSocket | undefined } = {}
  const timers: { [timer in Timer]?: ReturnType<typeof setTimeout> } = {}
  const closed = new AbortController()
  const queue: Step[] = []
  let model = initial

  const emit = (type: string, detail?: unknown) => target.dispatchEvent(new CustomEvent(type, { detail }))
  const dial = () => {
    const address = new URL(base)
    for (const poll of model.polls) address.searchParams.append('poll', poll)
    const socket = new Socket(address, ['livetally.v1.1', 'livetally.v1'])
    sockets.next = socket
    for (const type of ['open', 'message', 'close'] as const) {
      // each type of event has some of these
      const hear = ({ data, code, reason }: MessageEvent & CloseEvent) => {
        const from = (['feed', 'next'] as const).find((source) => sockets[source] === socket)
        let frame: Frame | undefined
        try {
          // its type may be one that a later server added
          frame = JSON.parse(data)
        } catch {
          // not a frame
        }
        step({ type, from, frame, code, reason })
      }
      socket.addEventListener(type, hear as (event: Event) => void)
    }
    socket.addEventListener('error', () => {}) // a close event follows and says more
  }
  const replace = (source: Source, by?: WebSocket) => {
    const socket = sockets[source]
    sockets[source] = by
    socket?.close(1000)
  }
  const run = (effects: Effects) => {
    const { deliver } = effects
    if (deliver) {
      emit(deliver.type, deliver)
      emit('/' + deliver.poll, deliver)
    }
    for (const source of effects.drop) replace(source)
    if (effects.promote) {
      replace('feed', sockets.next)
      sockets.next = undefined
    }
    for (const [timer, ms] of effects.timers) {
      clearTimeout(timers[timer])
      if (ms !== undefined) timers[timer] = setTimeout(() => step({ type: 'due', from: timer }), ms)
    }
    if (effects.dial) dial()
  }
  // Listeners may call back into the client; the events they cause wait until the current step is complete.
  const step = (event: Step) => {
    queue.push(event)
    if (queue.length > 1) return
    for (; queue[0]; queue.shift()) {
      const { state, delayed } = model
      const { model: after, effects } = transition(model, queue[0], Date.now(), random)
      model = after
      run(effects)
      const { code, reason } = after
      if (after.state === 'closed') closed.abort()
      // each listener takes its poll out
      if (code) for (const poll of subscribed.values()) emit('/' + poll, { type: 'gone', poll, code, reason })
      if (after.state !== state || after.delayed !== delayed) emit('status', after)
    }
  }
  // the subscriptions of one turn share one connection
  const want = () => queueMicrotask(() => step({ type: 'want', polls: [...new Set(subscribed.values())] }))
  const close = () => step({ type: 'stop' })

  const subscribe: TallyClient['subscribe'] = (name, listener, { signal, onGone } = {}) => {
    const call = (event?: CustomEvent) => {
      const tally = model.seen.get(name)
      const poll = model.defined.get(name)
      if (event?.detail.type === 'gone') {
        stop()
        onGone?.(event.detail)
      } else if (subscribed.has(call) && tally && poll) listener(tally, poll)
    }
    const stop = () => {
      if (subscribed.delete(call)) want()
      target.removeEventListener('/' + name, call)
    }
    subscribed.set(call, name)
    want()
    target.addEventListener('/' + name, call)
    onAbort(signal, stop)
    queueMicrotask(call)
    return stop
  }
  async function* follow(name: string, { signal }: Stoppable = {}): AsyncGenerator<Followed, void, undefined> {
    let newest: Followed | undefined
    let gone: GoneFrame | undefined
    let wake = () => {}
    const onGone = (frame: GoneFrame) => {
      gone = frame
      wake()
    }
    const hear: TallyListener = (tally, poll) => {
      newest = { tally, poll }
      wake()
    }
    const stop = subscribe(name, hear, { onGone })
    for (const end of [signal, closed.signal]) onAbort(end, () => wake())
    try {
      while (!gone && !signal?.aborted && model.state !== 'closed') {
        const next = newest
        newest = undefined
        if (next) yield next
        else await new Promise<void>((resolve) => (wake = resolve))
      }
      const { code, reason } = gone ?? model
      if (code) throw new Error(reason, { cause: code })
    } finally {
      stop()
    }
  }

  onAbort(options.signal, close)
  // A pending timer must not delay the next dial when the network returns or the page is looked at again. Only browsers have
  // these events.
  const { window, document } = globalThis as Page
  const { signal } = closed
  window?.addEventListener('online', () => step({ type: 'wake', network: true }), { signal })
  document?.addEventListener('visibilitychange', () => step({ type: 'wake', network: false }), { signal })
  return {
    get status() {
      return model
    },
    subscribe,
    follow,
    close,
    addEventListener: (...args) => target.addEventListener(...args),
    removeEventListener: (...args) => target.removeEventListener(...args),
  }
}

interface Target {
  addEventListener(type: string, listener: (event: never) => void, options?: ListenerOptions): void
  removeEventListener(type: string, listener: (event: never) => void): void
  dispatchEvent(event: CustomEvent): boolean
}
interface Page {
  readonly window?: EventTarget
  readonly document?: EventTarget
}

function onAbort(signal: AbortSignal | undefined, listener: () => void): void {
  if (signal?.aborted) listener()
  else signal?.addEventListener('abort', listener)
}
