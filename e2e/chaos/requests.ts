/** Requests of the API that nobody may make, and one voter's votes all at once. */
import { serializeSigned } from 'hono/utils/cookie'
import { Agent, fetch } from 'undici'
import { uuidV7 } from '../../backend/polls/voter-id.ts'
import { ADMIN_TOKEN, COOKIE_SECRET } from '../support/cluster.ts'
import type { Journal } from './journal.ts'
import { LASTING_POLLS, OPTIONS } from './organiser.ts'
import type { Vote, VoteLedger } from './vote-ledger.ts'

const POLL = LASTING_POLLS[0]
const [OPTION, OTHER_OPTION] = OPTIONS
const PATIENCE_MS = 15_000

/** A new voter, as browsers have it. */
export async function newVoter(): Promise<{ readonly id: string; readonly cookie: string }> {
  const id = uuidV7(Date.now())
  return { id, cookie: (await serializeSigned('voter', id, COOKIE_SECRET)).split(';', 1)[0] ?? '' }
}

interface Asked {
  readonly method?: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: object
}

/** Votes and edits by somebody who may not: forged cookies, other origins, no token, a closed poll. None may be taken. */
export async function askAsStranger(url: string, journal: Journal, closedPoll: string, times: number): Promise<void> {
  const admin = { authorization: `Bearer ${ADMIN_TOKEN}` }
  const options = [OPTION, OTHER_OPTION].map((id) => ({ id, label: id }))
  const { cookie } = await newVoter()
  const vote = { path: `/api/polls/${POLL}/vote`, body: { option: OPTION } }
  const forged = `${cookie.slice(0, -8)}AAAAAAA%3D`
  const requests: Asked[] = [
    { ...vote, headers: {} },
    { ...vote, headers: { cookie: forged } },
    { ...vote, headers: { cookie: 'voter=somebody' } },
    ...['https://evil.example', 'null', `${url}.evil.example`].map((origin) => ({ ...vote, headers: { cookie, origin } })),
    { ...vote, body: { option: 'none-of-them' }, headers: { cookie } },
    { ...vote, path: `/api/polls/${closedPoll}/vote`, headers: { cookie } },
    { method: 'DELETE', path: `/api/polls/${POLL}`, headers: {} },
    { method: 'POST', path: `/api/polls/${POLL}/reset`, headers: { authorization: 'Bearer guessed' } },
    { method: 'PATCH', path: `/api/polls/${POLL}`, headers: { cookie }, body: { state: 'closed' } },
  ]
  await ask(url, { method: 'POST', path: '/api/polls', headers: admin, body: { poll: closedPoll, question: 'Over?', options } })
  const closing = { method: 'PATCH', path: `/api/polls/${closedPoll}`, headers: admin, body: { state: 'closed' } }
  if ((await ask(url, closing)).status !== 200) return journal.say(`${closedPoll} could not be closed`)
  for (let time = 0; time < times; time += 1) {
    const answers = await Promise.all(requests.map((request) => ask(url, request)))
    for (const [index, { status, text }] of answers.entries()) {
      if (status >= 400 && status < 500) continue
      const rule = status < 400 && status > 0 ? 'a stranger was obeyed' : 'a stranger was not refused'
      journal.violate(rule, `${JSON.stringify(requests[index])}: ${status} ${text}`)
    }
  }
  await ask(url, { method: 'DELETE', path: `/api/polls/${closedPoll}`, headers: admin })
}

/** Votes of one voter at once, all for one option, then one for another, which must stand: the ledger is told of that one. */
export async function voteAtOnce(url: string, journal: Journal, ledger: VoteLedger, votes: number): Promise<void> {
  const { id, cookie } = await newVoter()
  const send = (option: string) => ask(url, { path: `/api/polls/${POLL}/vote`, headers: { cookie }, body: { option } })
  const vote = (option: string): Vote => ({ option, ordered: false, sentAt: Date.now() })
  const together = vote(OPTION)
  ledger.sent(POLL, id, together)
  const answers = await Promise.all(Array.from({ length: votes }, () => send(OPTION)))
  const wrong = answers.filter(({ status, text }) => status !== 200 || optionIn(text) !== OPTION)
  if (wrong.length > 0) {
    const { status, text } = wrong[0]!
    journal.violate('one of many equal votes was answered otherwise', `${wrong.length} of ${votes}: ${status} ${text}`)
  }
  if (wrong.length < votes) Object.assign(together, { answeredAt: Date.now(), status: 200 })
  // a vote without an answer may still be cast after the next one
  if (answers.some(({ status }) => status === 0 || status >= 500)) return
  const last = vote(OTHER_OPTION)
  ledger.sent(POLL, id, last)
  const { status } = await send(OTHER_OPTION)
  Object.assign(last, { answeredAt: Date.now(), status })
}

function optionIn(text: string): unknown {
  return (JSON.parse(text) as { readonly option?: unknown }).option
}

/** A connection for each request, so that together they reach all gateways. */
const dispatcher = new Agent({ pipelining: 0 })

/** The status is 0 where there is no answer. */
async function ask(url: string, { method = 'PUT', path, headers, body }: Asked): Promise<{ status: number; text: string }> {
  const signal = AbortSignal.timeout(PATIENCE_MS)
  const content = body === undefined ? {} : { body: JSON.stringify(body) }
  const typed = { 'content-type': 'application/json', ...headers }
  try {
    const response = await fetch(`${url}${path}`, { method, headers: typed, ...content, signal, dispatcher })
    return { status: response.status, text: await response.text() }
  } catch (error) {
    return { status: 0, text: String((error as Error).cause ?? error) }
  }
}
