import type { PollFrame } from '../../../shared/protocol/frames.ts'
import { byId, setText } from './dom.ts'
import { formatVotes, messages } from './language.ts'
import { load } from './load.ts'

type Listed = PollFrame & { readonly total: number }

const REFRESH_MS = 10_000
const list = byId('polls', HTMLUListElement)
const notice = byId('notice', HTMLElement)
const { home } = messages

function item(poll: Listed): HTMLLIElement {
  const row = document.createElement('li')
  const question = document.createElement('a')
  const facts = document.createElement('p')
  const state = document.createElement('span')
  const results = document.createElement('a')
  row.className = 'card poll'
  question.href = `/p/${poll.poll}`
  question.textContent = poll.question
  state.className = 'tag'
  state.dataset['state'] = poll.state
  state.textContent = home[poll.state]
  results.href = `/p/${poll.poll}/results`
  results.textContent = home.results
  facts.append(state, ` ${formatVotes(poll.total)} `, results)
  row.append(question, facts)
  return row
}

async function refresh(): Promise<void> {
  const loaded = await load<{ readonly polls: readonly Listed[] }>('/api/polls', () => setText(notice, home.failed))
  if (!loaded.ok) return
  const order = ['open', 'scheduled', 'closed']
  const polls = loaded.content.polls.toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state))
  setText(notice, polls.length === 0 ? home.none : undefined)
  // replacing the element would lose the focus
  if (!list.contains(document.activeElement)) list.replaceChildren(...polls.map(item))
}

document.title = `${home.title} · Livetally`
setText(byId('title', HTMLElement), home.title)
setText(byId('lead', HTMLElement), home.lead)
setText(byId('organisers', HTMLElement), home.organisers)
setText(byId('developers', HTMLElement), home.developers)
await refresh()
setInterval(() => {
  if (!document.hidden) void refresh()
}, REFRESH_MS)
