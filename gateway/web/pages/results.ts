import type { PollFrame } from '../../../shared/protocol/frames.ts'
import { LiveTally } from '../live-tally.ts'
import { continued, isWhole, stepsFor, type History, type Step } from '../model/history.ts'
import { createTimeline } from '../model/timeline.ts'
import { shareClient } from '../shared-client.ts'
import { byId, setText } from './dom.ts'
import { keep, kept } from './kept.ts'
import { formatTime, formatVotes, messages } from './language.ts'
import { load } from './load.ts'
import { listenForKeys } from './presenter-keys.ts'

const CHART = { width: 600, height: 60, refreshMs: 1_000 }

const name = location.pathname.split('/')[2] ?? ''
const view = new URLSearchParams(location.search).get('view') ?? ''
const votePath = `/p/${name}`
const question = byId('question', HTMLElement)
const board = byId('board', HTMLElement)
const held = byId('held', HTMLElement)
const join = byId('join', HTMLElement)
const timelineFigure = byId('timeline', HTMLElement)
let timeline = createTimeline()
const { client } = shareClient(undefined)

function showPoll(poll: PollFrame): void {
  document.title = `${poll.question} · Livetally`
  setText(question, poll.question)
  document.body.style.setProperty('--rows', String(poll.options.length))
  const state = byId('state', HTMLElement)
  state.dataset['state'] = poll.state
  setText(state, messages.home[poll.state])
}

function drawTimeline(): void {
  const now = Date.now()
  const { width, height } = CHART
  const path = timeline.path(width, height, now)
  const [first] = timeline.moments
  const last = timeline.moments.at(-1)
  timelineFigure.hidden = path === '' || timeline.moments.length < 2
  if (!first || !last || timelineFigure.hidden) return
  document.querySelector('#line')?.setAttribute('d', path)
  document.querySelector('#area')?.setAttribute('d', `${path}V${height}H0z`)
  const span = messages.results.timelineOf(formatTime(new Date(first.at).toISOString()), formatTime(new Date(now).toISOString()))
  setText(byId('timeline-span', HTMLElement), span)
  const label = `${messages.results.timeline}: ${formatVotes(first.total)} → ${formatVotes(last.total)}. ${span}`
  document.querySelector('#chart')?.setAttribute('aria-label', label)
}

/** The presenter's choices for this screen; a reload keeps them. */
function toggle(key: string, apply: (isOn: boolean) => void): () => void {
  let isOn = kept(key) === 'on'
  apply(isOn)
  return () => {
    isOn = !isOn
    keep(key, isOn ? 'on' : undefined)
    apply(isOn)
  }
}

/**
 * Draws the line from the beginning of the poll. The first request reads the whole past coarsely and tells which finer step to
 * ask for.
 */
async function loadHistory(): Promise<void> {
  const read = async (step: Step) => {
    const loaded = await load<History>(`/api/polls/${name}/history?step=${step}`, () => {})
    return loaded.ok ? loaded.content : { points: [] }
  }
  let past = await read('1h')
  const [first] = past.points
  if (!first) return
  for (const step of stepsFor(Date.parse(first.at), Date.now())) {
    past = await read(step)
    if (isWhole(past)) break
  }
  timeline = continued(past, timeline.moments, Date.now())
}

async function nextPoll(): Promise<void> {
  const loaded = await load<{ readonly polls: readonly PollFrame[] }>('/api/polls', () => {})
  if (!loaded.ok) return
  const names = loaded.content.polls.map(({ poll }) => poll)
  const next = names[(names.indexOf(name) + 1) % names.length]
  if (next !== undefined && next !== name) location.assign(`/p/${next}/results${location.search}`)
}

document.body.dataset['view'] = view
const address = new URL(votePath, location.href)
const qr = byId('qr', HTMLImageElement)
qr.src = `${votePath}/qr.svg`
qr.alt = messages.results.qrLabel(address.href)
setText(byId('join-text', HTMLElement), messages.results.join)
const link = byId('address', HTMLAnchorElement)
link.href = address.href
link.append(address.host, document.createElement('wbr'), address.pathname)
setText(byId('timeline-title', HTMLElement), messages.results.timeline)

listenForKeys(messages, {
  f: () => void (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()),
  h: toggle(`${name}:held`, (isHeld) => {
    board.hidden = isHeld
    setText(held, isHeld ? messages.results.held : undefined)
  }),
  q: toggle(':no-qr', (isHidden) => (join.hidden = isHidden)),
  n: () => void nextPoll(),
})

byId('tally', LiveTally).setAttribute('poll', name)
client.subscribe(name, (tally, poll) => {
  showPoll(poll)
  timeline.add(Date.now(), tally.total)
})
client.addEventListener('status', ({ detail }) => {
  if (detail.code === 4404) setText(question, messages.vote.unknownPoll)
})
setInterval(drawTimeline, CHART.refreshMs)
void loadHistory()
