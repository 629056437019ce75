/**
 * `<live-tally poll="cats-or-dogs">`: a poll's bars, live, from one script tag.
 *
 * Attributes: `poll`; `server`, the address of an instance other than the one this module came from; `plain` leaves out the question.
 * Parts: question, list, row, line, label, leading, numbers, percent, count, track, bar, none, foot, total, badge, pause.
 * Properties: --live-tally-track, -muted, -bar-height, -radius, -gap, -speed, -old, -focus. The rest follows the page's font and colour.
 */
import type { PollFrame, TallyFrame } from '../../shared/protocol/frames.ts'
import type { Status, TallyClient } from './client/tally-client.ts'
import { liveTallyStyle } from './live-tally-style.ts'
import { chooseMessages } from './messages/choose-messages.ts'
import { badgeOf } from './model/badge.ts'
import { barsOf } from './model/bars.ts'
import { createAnnouncer } from './model/announcer.ts'
import { shareClient } from './shared-client.ts'
import { createTallyView } from './tally-view.ts'

export class LiveTally extends HTMLElement {
  static readonly observedAttributes = ['poll', 'server', 'plain', 'lang']
  #connected: AbortController | undefined
  #revealed: TallyFrame | undefined

  connectedCallback(): void {
    this.#start()
  }

  disconnectedCallback(): void {
    this.#connected?.abort()
    this.#connected = undefined
  }

  attributeChangedCallback(): void {
    if (this.isConnected) this.#start()
  }

  /** Shows counts that the wire holds back and this reader may see, as after voting, until the wire has newer ones. */
  reveal(tally: TallyFrame): void {
    this.#revealed = tally
    this.dispatchEvent(new Event('livetally-reveal'))
  }

  #start(): void {
    this.#connected?.abort()
    const poll = this.getAttribute('poll')
    const root = this.shadowRoot ?? this.attachShadow({ mode: 'open' })
    root.adoptedStyleSheets = [liveTallyStyle()]
    root.replaceChildren()
    if (!poll) return
    const connected = new AbortController()
    this.#connected = connected
    const { signal } = connected
    const { client, release } = shareClient(wireOf(this.getAttribute('server')), poll)
    signal.addEventListener('abort', release)
    this.#show(root, poll, client, signal)
  }

  #show(root: ShadowRoot, poll: string, client: TallyClient, signal: AbortSignal): void {
    const lang = this.closest('[lang]')?.getAttribute('lang')
    const messages = chooseMessages([...(lang ? [lang] : []), ...navigator.languages])
    const time = new Intl.DateTimeFormat(messages.language, { timeStyle: 'medium', hourCycle: 'h23' })
    const view = createTallyView({ root, messages, plain: this.hasAttribute('plain'), onPause: () => pause() })
    const announce = createAnnouncer({ say: view.say, intervalMs: 10_000, signal })
    let newest: { tally: TallyFrame; poll: PollFrame } | undefined
    let pausedAt: number | undefined
    let isDue = false
    // this poll may end while the client goes on with those of other elements
    let end: Partial<Status> = {}

    const draw = () => {
      isDue = false
      if (signal.aborted) return
      view.setBadge(badgeOf({ ...client.status, ...end }, messages, (ms) => time.format(ms), pausedAt))
      if (!newest || pausedAt !== undefined) return
      const { counts, epoch, version } = newest.tally
      const revealed = this.#revealed
      const shown = !counts && revealed?.epoch === epoch && revealed.version >= version ? revealed : newest.tally
      const spoken = view.draw(newest.poll, barsOf(newest.poll, shown))
      announce(spoken, newest.poll.state)
    }
    // draws once per frame of the screen, however many tallies arrive
    const schedule = () => {
      if (!isDue) requestAnimationFrame(draw)
      isDue = true
    }
    const pause = () => {
      pausedAt = pausedAt === undefined ? client.status.asOf : undefined
      view.setPaused(pausedAt !== undefined)
      schedule()
    }
    client.subscribe(
      poll,
      (tally, definition) => {
        newest = { tally, poll: definition }
        schedule()
      },
      {
        signal,
        onGone({ code }) {
          end = { state: 'closed', code }
          schedule()
        },
      },
    )
    client.addEventListener('status', schedule, { signal })
    this.addEventListener('livetally-reveal', schedule, { signal })
    draw()
  }
}

/** The wire of the instance at `server`, or undefined for the one that this module came from. */
function wireOf(server: string | null): string | undefined {
  return server === null ? undefined : new URL('/ws', server).href
}

declare global {
  interface HTMLElementTagNameMap {
    'live-tally': LiveTally
  }
}

if (!customElements.get('live-tally')) customElements.define('live-tally', LiveTally)
