import type { PollFrame, TallyFrame } from '../../../shared/protocol/frames.ts'
import { LiveTally } from '../live-tally.ts'
import { barsOf } from '../model/bars.ts'
import { createBallotSender, type BallotState } from '../model/ballot-sender.ts'
import { shareClient } from '../shared-client.ts'
import { byId, setText } from './dom.ts'
import { keep, kept } from './kept.ts'
import { formatTime, messages } from './language.ts'
import { load } from './load.ts'

interface Standing {
  readonly poll: PollFrame
  readonly tally: TallyFrame
  readonly ballot: { readonly option: string } | null
  readonly settings: { readonly policy: 'cookie' | 'ticket' }
}

const name = location.pathname.split('/')[2] ?? ''
const ticket = takeTicket()
const voterHeaders: Readonly<Record<string, string>> = ticket === undefined ? {} : { 'livetally-ticket': ticket }
const { vote } = messages
const question = byId('question', HTMLElement)
const notice = byId('notice', HTMLElement)
const choices = byId('choices', HTMLElement)
const receipt = byId('receipt', HTMLElement)
const tallyElement = byId('tally', LiveTally)

let poll: PollFrame | undefined
let ballot: string | undefined
let isFinal = false
let needsTicket = false
let state: BallotState = { kind: 'none' }

const sender = createBallotSender({
  put: (option, signal) =>
    fetch(`/api/polls/${name}/vote`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...voterHeaders },
      body: JSON.stringify({ option }),
      signal,
    }),
  keep: (option) => keep(name, option),
  onChange(changed) {
    state = changed
    if (changed.kind === 'counted') ballot = changed.option
    if (changed.kind === 'refused') isFinal ||= changed.problem === 'already-voted'
    if (changed.kind === 'counted' || changed.kind === 'refused') void refresh()
    render()
  },
})

/** The ticket in the link to this page. The script removes it from the address, so that nobody shares or photographs it. */
function takeTicket(): string | undefined {
  const address = new URL(location.href)
  const given = address.searchParams.get('ticket')
  if (given === null) return kept(`${name}:ticket`) ?? undefined
  keep(`${name}:ticket`, given)
  address.searchParams.delete('ticket')
  history.replaceState(history.state, '', address)
  return given
}

const labelOf = (option: string) => poll?.options.find(({ id }) => id === option)?.label ?? option

function renderChoices(shown: PollFrame): void {
  const colors = barsOf(shown, { type: 'tally', poll: name, epoch: 0, version: 0, total: 0, at: '' }).bars
  const marked = state.kind === 'sending' ? state.option : ballot
  const isOpen = shown.state === 'open'
  if (choices.childElementCount !== colors.length || choices.dataset['shape'] !== JSON.stringify(shown.options)) {
    choices.dataset['shape'] = JSON.stringify(shown.options)
    choices.replaceChildren(
      ...colors.map(({ option, label, color }) => {
        const button = document.createElement('button')
        const text = document.createElement('span')
        button.type = 'button'
        button.className = 'choice'
        button.value = option
        button.style.setProperty('--color', color)
        button.addEventListener('click', () => sender.choose(option))
        text.textContent = label
        button.append(text)
        return button
      }),
    )
  }
  for (const button of choices.querySelectorAll('button')) {
    const isMarked = button.value === marked
    button.setAttribute('aria-pressed', String(isMarked))
    button.toggleAttribute('data-pending', isMarked && state.kind === 'sending')
    button.disabled = !isOpen || needsTicket || (isFinal && !isMarked)
  }
}

function receiptOf(shown: PollFrame): { kind: string; strong?: string; rest?: string } {
  if (state.kind === 'sending') {
    const option = labelOf(state.option)
    return state.isRetry ? { kind: 'waiting', strong: vote.retrying(option) } : { kind: 'sending', strong: vote.sending(option) }
  }
  const counted = ballot === undefined ? {} : { strong: vote.counted(labelOf(ballot)) }
  if (state.kind === 'refused' && !(isFinal && ballot !== undefined)) {
    return { kind: 'refused', strong: vote.refused(state.title), rest: counted.strong ?? '' }
  }
  if (ballot === undefined)
    return { kind: 'none', rest: shown.state !== 'open' ? '' : needsTicket ? vote.needsTicket : vote.invite }
  return { kind: 'counted', ...counted, rest: shown.state !== 'open' ? '' : isFinal ? vote.final : vote.change }
}

function render(): void {
  if (!poll) return
  document.title = `${poll.question} · Livetally`
  setText(question, poll.question)
  const stateTag = byId('state', HTMLElement)
  stateTag.dataset['state'] = poll.state
  setText(stateTag, messages.home[poll.state])
  const now = Date.now()
  const closes =
    poll.state === 'open' && poll.closesAt && Date.parse(poll.closesAt) > now
      ? vote.closesAt(formatTime(poll.closesAt))
      : undefined
  const opens = poll.opensAt && Date.parse(poll.opensAt) > now ? vote.opensAt(formatTime(poll.opensAt)) : ''
  setText(notice, { open: closes, closed: vote.closed, scheduled: `${vote.scheduled} ${opens}` }[poll.state])
  byId('ballot', HTMLElement).hidden = false
  byId('results', HTMLElement).hidden = false
  renderChoices(poll)
  const { kind, strong, rest } = receiptOf(poll)
  receipt.dataset['kind'] = kind
  const emphasis = document.createElement('strong')
  emphasis.textContent = strong ?? ''
  if (receipt.textContent !== (strong ?? '') + (rest ?? '')) receipt.replaceChildren(...(strong ? [emphasis] : []), rest ?? '')
}

/** Reads the poll with this browser's ballot, and with counts that only voters may see. */
async function refresh(): Promise<void> {
  const loaded = await load<Standing>(
    `/api/polls/${name}`,
    () => {
      if (!poll) setText(notice, vote.retryLoading)
    },
    voterHeaders,
  )
  if (!loaded.ok) {
    setText(question, vote.unknownPoll)
    return
  }
  const { poll: definition, tally, ballot: cast, settings } = loaded.content
  poll = definition
  needsTicket = settings.policy === 'ticket' && ticket === undefined
  ballot = cast?.option
  if (tally.counts) tallyElement.reveal(tally)
  render()
}

setText(byId('legend', HTMLElement), vote.choose)
setText(byId('results-title', HTMLElement), messages.tally.results)
setText(byId('all-polls', HTMLElement), vote.allPolls)
const bigScreen = byId('big-screen', HTMLAnchorElement)
bigScreen.href = `/p/${name}/results`
setText(bigScreen, vote.bigScreen)
globalThis.addEventListener('online', () => sender.hurry())

await refresh()
if (poll) {
  tallyElement.setAttribute('poll', name)
  let revealing = false
  shareClient(undefined).client.subscribe(name, (tally, definition) => {
    poll = definition
    render()
    // The wire may hold back counts that this voter may see, so the page asks for them at intervals.
    if (tally.counts || ballot === undefined || revealing) return
    revealing = true
    setTimeout(() => {
      revealing = false
      void refresh()
    }, 2_000)
  })
  const waiting = kept(name)
  if (waiting !== null) sender.choose(waiting)
}
