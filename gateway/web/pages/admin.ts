import { draftOf, type Settings } from '../model/poll-draft.ts'
import type { Answer } from '../model/admin-answer.ts'
import { createAdminApi, type AdminApi } from './admin-api.ts'
import { createCard, type Card, type CardAction, type Listed } from './admin-card.ts'
import { createEditor } from './admin-editor.ts'
import { adminMessages, setTexts } from './admin-language.ts'
import { drawServers, type GatewayReport } from './admin-servers.ts'
import { byId, setText } from './dom.ts'
import { keep, kept } from './kept.ts'
import { formatVotes } from './language.ts'

/** Not a valid slug, so that it does not clash with what is kept for a poll. */
const TOKEN_KEPT_UNDER = ':admin-token'
const POLLS_EVERY_MS = 2_000
const SERVERS_EVERY_MS = 1_000

const notice = byId('notice', HTMLElement)
/** An element apart from the one for the result of a button, so that neither text replaces the other. */
const outage = byId('outage', HTMLElement)
const list = byId('polls', HTMLUListElement)
const cards = new Map<string, Card>()
const { signIn, polls: text } = adminMessages
let api: AdminApi = createAdminApi('')
let session = new AbortController()

function say(message: string, kind: 'done' | 'fault' = 'done'): void {
  notice.dataset['kind'] = kind
  notice.textContent = message
}

function faultOf(answer: Exclude<Answer, { kind: 'ok' }>): string {
  if (answer.kind === 'refused') return answer.detail
  if (answer.kind === 'silent') return adminMessages.noAnswer
  signOut(signIn.wrong)
  return signIn.wrong
}

/**
 * Awaits the answer to a button's request, reports the result, and refreshes the polls. Resolves to the answer if it was good.
 */
async function perform(label: string, question: string, request: Promise<Answer>): Promise<Response | undefined> {
  const answer = await request
  if (answer.kind !== 'ok') {
    say(faultOf(answer), 'fault')
    return undefined
  }
  say(text.done(label, question))
  await refreshPolls()
  return answer.response
}

/** Hands the answer to the browser as a file. A link could not carry the token. */
async function saveAs(name: string, response: Response): Promise<void> {
  const link = document.createElement('a')
  link.href = URL.createObjectURL(await response.blob())
  link.download = name
  link.click()
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000)
}

function confirmed(question: string, action: string): Promise<boolean> {
  const dialog = byId('confirm', HTMLDialogElement)
  setTexts({ 'confirm-text': question, 'confirm-go': action, 'confirm-cancel': adminMessages.confirm.cancel })
  dialog.returnValue = 'no'
  dialog.showModal()
  return new Promise((resolve) => dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true }))
}

const editor = createEditor({
  api: () => api,
  faultOf,
  confirmed,
  onSaved(label, question) {
    say(text.done(label, question))
    void refreshPolls()
  },
})

async function edit(path: string): Promise<void> {
  const answer = await api('GET', path)
  if (answer.kind !== 'ok') {
    say(faultOf(answer), 'fault')
    return
  }
  const { poll, settings } = (await answer.response.json()) as { poll: Listed; settings: Settings }
  editor.open(draftOf(poll, settings))
}

let ticketsFor: Listed | undefined
async function makeTickets(): Promise<void> {
  if (!ticketsFor) return
  const count = byId('count', HTMLInputElement).valueAsNumber
  const answer = await api('POST', `/api/polls/${ticketsFor.poll}/tickets`, { count })
  if (answer.kind === 'ok') {
    byId('tickets', HTMLDialogElement).close()
    say(text.done(text.tickets, ticketsFor.question))
    await saveAs(`${ticketsFor.poll}-tickets.csv`, answer.response)
  } else setText(byId('tickets-fault', HTMLElement), faultOf(answer))
}

async function act(action: CardAction, poll: Listed, label: string): Promise<void> {
  const path = `/api/polls/${poll.poll}`
  const { question } = poll
  const change = (body: object) => perform(label, question, api('PATCH', path, body))
  switch (action) {
    case 'state':
      await change({ state: poll.state === 'open' ? 'closed' : 'open' })
      break
    case 'visibility':
      await change({ visibility: poll.resultsVisible ? 'after-close' : 'live' })
      break
    case 'edit':
      await edit(path)
      break
    case 'tickets':
      ticketsFor = poll
      setText(byId('tickets-title', HTMLElement), adminMessages.tickets.title(question))
      setText(byId('tickets-fault', HTMLElement), undefined)
      byId('tickets', HTMLDialogElement).showModal()
      break
    case 'csv': {
      const response = await perform(label, question, api('GET', `${path}/export.csv`))
      if (response) await saveAs(`${poll.poll}.csv`, response)
      break
    }
    case 'reset':
      if (await confirmed(adminMessages.confirm.reset(question, formatVotes(poll.total)), text.reset))
        await perform(label, question, api('POST', `${path}/reset`))
      break
    case 'remove':
      if (await confirmed(adminMessages.confirm.remove(question, formatVotes(poll.total)), text.remove))
        await perform(label, question, api('DELETE', path))
      break
  }
}

/** The content of the answer, or undefined when there is none. A token that is no longer valid ends the session. */
async function contentOf(answer: Answer): Promise<unknown> {
  if (answer.kind === 'ok') {
    setText(outage, undefined)
    return await answer.response.json()
  }
  if (answer.kind === 'silent') setText(outage, adminMessages.failed)
  if (answer.kind === 'signed-out') signOut(signIn.wrong)
  return undefined
}

function addCard(name: string): Card {
  const card = createCard((...asked) => void act(...asked))
  cards.set(name, card)
  // the newest first, since the organiser is probably working on it
  list.prepend(card.element)
  return card
}

/** The policy of a poll never changes, so the page asks for it once. */
async function showPolicy(name: string, card: Card): Promise<void> {
  const answer = await api('GET', `/api/polls/${name}`)
  if (answer.kind !== 'ok') return
  const { settings } = (await answer.response.json()) as { settings: Settings }
  card.setPolicy(settings.policy)
}

async function refreshPolls(): Promise<void> {
  const content = await contentOf(await api('GET', '/api/polls'))
  if (content === undefined) return
  const { polls } = content as { readonly polls: readonly Listed[] }
  const names = new Set(polls.map(({ poll }) => poll))
  for (const [name, card] of cards) {
    if (names.has(name)) continue
    card.element.remove()
    cards.delete(name)
  }
  for (const poll of polls) {
    const card = cards.get(poll.poll) ?? addCard(poll.poll)
    card.update(poll)
    if (!card.hasPolicy) void showPolicy(poll.poll, card)
  }
  setText(byId('no-polls', HTMLElement), polls.length === 0 ? text.none : undefined)
}

async function refreshServers(): Promise<void> {
  const content = await contentOf(await api('GET', '/api/gateways'))
  if (content !== undefined) drawServers((content as { readonly gateways: readonly GatewayReport[] }).gateways)
}

/** Calls `refresh` until the session ends, except in a tab that is hidden. */
async function repeat(everyMs: number, refresh: () => Promise<void>, { signal }: AbortController): Promise<void> {
  while (!signal.aborted) {
    if (!document.hidden) await refresh()
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
}

function signOut(message: string): void {
  session.abort()
  setText(outage, undefined)
  keep(TOKEN_KEPT_UNDER, undefined)
  api = createAdminApi('')
  for (const dialog of document.querySelectorAll('dialog')) dialog.close()
  showDesk(false)
  byId('token', HTMLInputElement).focus()
  say(message, message === '' ? 'done' : 'fault')
}

function showDesk(isSignedIn: boolean): void {
  byId('sign-in', HTMLFormElement).hidden = isSignedIn
  byId('desk', HTMLElement).hidden = !isSignedIn
  byId('sign-out', HTMLButtonElement).hidden = !isSignedIn
}

function openDesk(token: string): void {
  api = createAdminApi(token)
  session = new AbortController()
  showDesk(true)
  void repeat(POLLS_EVERY_MS, refreshPolls, session)
  void repeat(SERVERS_EVERY_MS, refreshServers, session)
}

async function trySignIn(): Promise<void> {
  const field = byId('token', HTMLInputElement)
  const token = field.value.trim()
  const answer = await createAdminApi(token)('GET', '/api/gateways')
  if (answer.kind === 'ok') {
    keep(TOKEN_KEPT_UNDER, token)
    field.value = ''
    say('')
    openDesk(token)
  } else say(answer.kind === 'silent' && /^[\x21-\x7e]*$/.test(token) ? adminMessages.noAnswer : signIn.wrong, 'fault')
}

document.title = `${adminMessages.title} · Livetally`
setTexts({
  title: adminMessages.title,
  'token-label': signIn.token,
  'token-hint': signIn.hint,
  'sign-in-submit': signIn.submit,
  'polls-title': text.title,
  create: text.create,
  'servers-title': adminMessages.servers.title,
  'servers-summary': adminMessages.loading,
  'server-id': adminMessages.servers.id,
  'server-phase': adminMessages.servers.phase,
  'server-sockets': adminMessages.servers.sockets,
  'tickets-hint': adminMessages.tickets.hint,
  'count-label': adminMessages.tickets.count,
  'tickets-download': adminMessages.tickets.download,
  'tickets-cancel': adminMessages.editor.cancel,
})
const signOutButton = byId('sign-out', HTMLButtonElement)
signOutButton.textContent = signIn.out
signOutButton.addEventListener('click', () => signOut(''))
byId('create', HTMLButtonElement).addEventListener('click', () => editor.open())
byId('sign-in', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  void trySignIn()
})
byId('tickets-form', HTMLFormElement).addEventListener('submit', (event) => {
  event.preventDefault()
  void makeTickets()
})
byId('tickets-cancel', HTMLButtonElement).addEventListener('click', () => byId('tickets', HTMLDialogElement).close())

const token = kept(TOKEN_KEPT_UNDER)
if (token === null) showDesk(false)
else openDesk(token)
