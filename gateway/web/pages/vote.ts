import type { PollFrame, TallyFrame } from '../../../shared/protocol/frames.ts'
import type { CloseCode } from '../../../shared/protocol/close-codes.ts'
import { isNewer, type Versioned } from '../../../shared/protocol/order.ts'
import { LiveTally } from '../live-tally.ts'
import { barsOf } from '../model/bars.ts'
import { createBallotSender, type BallotState, type Vote } from '../model/ballot-sender.ts'
import { receiptOf, standingOf, type KnownBallot, type VotePageState } from '../model/receipt.ts'
import { shareClient } from '../shared-client.ts'
import { byId, setText } from './dom.ts'
import { keep, keepForAll, kept, keptByAll, storedAs } from './kept.ts'
import { formatTime, messages } from './language.ts'
import { load } from './load.ts'

interface Standing {
  readonly poll: PollFrame
  readonly tally: TallyFrame
  /** `order` is absent where a server knows none. */
  readonly ballot: { readonly option: string; readonly order?: number } | null
  readonly settings: { readonly changeAllowed: boolean; readonly policy: 'cookie' | 'ticket' }
}

/** Within so many ms the pages of a poll ask for their ballots when counting begins anew, so that they do not ask all at once. */
const SPREAD_MS = 2_000

const name = location.pathname.split('/')[2] ?? ''
const ORDER_KEPT_UNDER = `${name}:order`
/** The option and label of the ballot, and its epoch: the label is told also once the poll has no such option any more. */
const BALLOT_KEPT_UNDER = `${name}:ballot`
const ticket = takeTicket()
const voterHeaders: Readonly<Record<string, string>> = ticket === undefined ? {} : { 'livetally-ticket': ticket }
/** Tabs share what is kept for the voter, unless tickets make them different voters. */
const ofVoter = ticket === undefined ? { kept: keptByAll, keep: keepForAll } : { kept, keep }
const { vote } = messages
const question = byId('question', HTMLElement)
const notice = byId('notice', HTMLElement)
const choices = byId('choices', HTMLElement)
const receipt = byId('receipt', HTMLElement)
const tallyElement = byId('tally', LiveTally)

let poll: PollFrame | undefined
/** The place of the newest tally, and so of the newest definition. */
let newest: Versioned | undefined
let ballot: KnownBallot | undefined
let state: BallotState = { kind: 'none' }
let isRemoved = false
let isFinal = false
let changeAllowed = true
let needsTicket = false
const labels = new Map<string, string>()
/** How often the page has asked for the poll: only the answer to the last question is heard. */
let questions = 0
/** The epoch in which the vote under way was sent last. */
let sentIn = 0

const sender = createBallotSender({
  put: (sent, signal) => {
    sentIn = newest?.epoch ?? 0
    return fetch(`/api/polls/${name}/vote`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json', ...voterHeaders },
      body: JSON.stringify(sent),
      // the API never redirects: what does is a login or the like, which is not to be given the vote
      redirect: 'error',
      signal,
    })
  },
  lastOrder: {
    read: () => Number(ofVoter.kept(ORDER_KEPT_UNDER)) || 0,
    write: (order) => ofVoter.keep(ORDER_KEPT_UNDER, String(order)),
  },
  keep: (waiting) => keep(name, waiting && JSON.stringify(waiting)),
  onChange(changed) {
    state = changed
    if (changed.kind === 'counted') knowBallot({ option: changed.option, epoch: sentIn })
    if (changed.kind === 'refused') isFinal ||= changed.problem === 'already-voted'
    if (changed.kind !== 'none' && changed.kind !== 'sending') void refresh()
    render()
  },
})

/** The ticket in the link to this page. The script removes it from the address, so that nobody shares or photographs it. */
function takeTicket(): string | undefined {
  const address = new URL(location.href)
  const given = address.searchParams.get('ticket')
  const before = kept(`${name}:ticket`) ?? undefined
  if (given === null) return before
  // a vote that waits in this tab is that of the voter before
  if (given !== before) keep(name, undefined)
  keep(`${name}:ticket`, given)
  address.searchParams.delete('ticket')
  history.replaceState(history.state, '', address)
  return given
}

/** The vote that an earlier load of this page could not deliver. Pages from before the orders kept the option alone. */
function waitingVote(): Vote | string | undefined {
  const text = kept(name)
  const content = parsed(text)
  return 'order' in content ? (content as Vote) : (text ?? undefined)
}

/** The object in a text that was kept, or an empty one where the text is no object's. */
function parsed(text: string | null): object {
  try {
    const content: unknown = JSON.parse(text ?? '')
    return typeof content === 'object' && content !== null ? content : {}
  } catch {
    return {}
  }
}

function labelOf(option: string): string | undefined {
  const label = labels.get(option)
  if (label !== undefined) return label
  const known = parsed(ofVoter.kept(BALLOT_KEPT_UNDER)) as { readonly option?: string; readonly label?: string }
  return known.option === option ? known.label : undefined
}

function knowBallot(known: KnownBallot | undefined): void {
  ballot = known
  const label = known && labels.get(known.option)
  if (label !== undefined) ofVoter.keep(BALLOT_KEPT_UNDER, JSON.stringify({ ...known, label }))
}

/** Takes in a tally with its definition, unless newer ones are known. */
function learn(tally: TallyFrame, definition: PollFrame): void {
  const isFirst = newest === undefined
  if (newest && isNewer(newest, tally)) return
  const hasBegunAnew = !isFirst && tally.epoch > (newest?.epoch ?? 0)
  newest = tally
  if (poll !== definition) {
    const before = ballot && labels.get(ballot.option)
    poll = definition
    for (const { id, label } of definition.options) labels.set(id, label)
    if (ballot && labels.get(ballot.option) !== before) knowBallot(ballot)
  }
  if (!hasBegunAnew) return
  isFinal = false
  if (state.kind !== 'sending') state = { kind: 'none' }
}

const page = (shown: PollFrame): VotePageState => ({
  poll: shown,
  epoch: newest?.epoch ?? 0,
  ballot,
  state,
  isRemoved,
  changeAllowed,
  isFinal,
  needsTicket,
})

function renderChoices(shown: PollFrame): void {
  const colors = barsOf(shown, { type: 'tally', poll: name, epoch: 0, version: 0, total: 0, at: '' }).bars
  const standing = standingOf(page(shown)) === 'counts' ? ballot?.option : undefined
  const marked = state.kind === 'sending' ? state.option : standing
  const isOpen = shown.state === 'open' && !isRemoved
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

function render(): void {
  if (!poll) return
  document.title = `${poll.question} · Livetally`
  setText(question, poll.question)
  const stateTag = byId('state', HTMLElement)
  stateTag.dataset['state'] = isRemoved ? 'removed' : poll.state
  setText(stateTag, isRemoved ? vote.removedState : messages.home[poll.state])
  const now = Date.now()
  const closes =
    poll.state === 'open' && poll.closesAt && Date.parse(poll.closesAt) > now
      ? vote.closesAt(formatTime(poll.closesAt))
      : undefined
  const opens = poll.opensAt && Date.parse(poll.opensAt) > now ? vote.opensAt(formatTime(poll.opensAt)) : ''
  const said = { open: closes, closed: vote.closed, scheduled: `${vote.scheduled} ${opens}` }[poll.state]
  setText(notice, isRemoved ? undefined : said)
  byId('ballot', HTMLElement).hidden = false
  byId('results', HTMLElement).hidden = false
  renderChoices(poll)
  const { kind, strong, rest } = receiptOf(page(poll), vote, labelOf)
  receipt.dataset['kind'] = kind
  const emphasis = document.createElement('strong')
  emphasis.textContent = strong ?? ''
  if (receipt.textContent !== (strong ?? '') + (rest ?? '')) receipt.replaceChildren(...(strong ? [emphasis] : []), rest ?? '')
}

/** Reads the poll with this browser's ballot, and with counts that only voters may see. */
async function refresh(): Promise<void> {
  const asked = ++questions
  const askedIn = newest?.epoch
  const loaded = await load<Standing>(
    `/api/polls/${name}`,
    () => {
      if (!poll) setText(notice, vote.retryLoading)
    },
    voterHeaders,
  )
  if (asked !== questions) return
  if (!loaded.ok) {
    if (!poll) setText(question, vote.unknownPoll)
    else if (loaded.status === 404) remove()
    return
  }
  const { poll: definition, tally, ballot: cast, settings } = loaded.content
  learn(tally, definition)
  needsTicket = settings.policy === 'ticket' && ticket === undefined
  changeAllowed = settings.changeAllowed
  sender.learn(cast?.order)
  // the server reads the ballot first, so a ballot that a reset has removed may come with the tally after it
  knowBallot(cast ? { option: cast.option, epoch: Math.min(askedIn ?? tally.epoch, tally.epoch) } : undefined)
  if (tally.counts) tallyElement.reveal(tally)
  render()
  askWhetherItCounts()
}

let isAsking = false
/** Asks for the ballot when counting has begun anew since the page heard of it. */
function askWhetherItCounts(): void {
  if (isAsking || !ballot || ballot.epoch >= (newest?.epoch ?? 0)) return
  isAsking = true
  setTimeout(() => {
    isAsking = false
    void refresh()
  }, Math.random() * SPREAD_MS)
}

/** Takes in the code with which the wire ended the poll. */
function hearEnd(code: number | undefined): void {
  if (code === (4404 satisfies typeof CloseCode.unknownPoll)) remove()
}

function remove(): void {
  isRemoved = true
  render()
}

setText(byId('legend', HTMLElement), vote.choose)
setText(byId('results-title', HTMLElement), messages.tally.results)
setText(byId('all-polls', HTMLElement), vote.allPolls)
const bigScreen = byId('big-screen', HTMLAnchorElement)
bigScreen.href = `/p/${name}/results`
setText(bigScreen, vote.bigScreen)
globalThis.addEventListener('online', () => sender.hurry())
// another tab's vote was counted
globalThis.addEventListener('storage', ({ key }) => key === storedAs(BALLOT_KEPT_UNDER) && void refresh())

await refresh()
if (poll) {
  tallyElement.setAttribute('poll', name)
  const { client } = shareClient(undefined)
  let revealing = false
  const show = (tally: TallyFrame, definition: PollFrame) => {
    learn(tally, definition)
    render()
    askWhetherItCounts()
    // The wire may hold back counts that this voter may see, so the page asks for them at intervals.
    if (tally.counts || ballot === undefined || revealing) return
    revealing = true
    setTimeout(() => {
      revealing = false
      void refresh()
    }, 2_000)
  }
  client.subscribe(name, show, { onGone: ({ code }) => hearEnd(code) })
  // a server from before livetally.v1.1 closes the whole connection
  client.addEventListener('status', ({ detail }) => hearEnd(detail.code))
  const waiting = waitingVote()
  if (typeof waiting === 'string') sender.choose(waiting)
  else if (waiting) sender.resume(waiting)
}
