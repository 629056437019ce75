import type { PollFrame } from '../../../shared/protocol/frames.ts'
import { LiveTally } from '../live-tally.ts'
import { operationsOf, type OpenApi, type Operation, type Shape } from '../model/openapi.ts'
import { shareClient } from '../shared-client.ts'
import { byId, setText } from './dom.ts'
import { load } from './load.ts'

const { origin } = location
const tally = byId('tally', LiveTally)
const picker = byId('poll', HTMLSelectElement)
const notice = byId('notice', HTMLElement)
const { client } = shareClient(undefined)
let followed: AbortController | undefined

// the page exists in English only
document.documentElement.lang = 'en'

/** Fills the examples with a poll of this server, so that a copied example works. */
function show(poll: string): void {
  byId('script-tag', HTMLElement).textContent =
    `<script type="module" src="${origin}/assets/gateway/web/live-tally.js"></script>\n<live-tally poll="${poll}"></live-tally>`
  byId('frame-tag', HTMLElement).textContent =
    `<iframe src="${origin}/p/${poll}/results?view=overlay" title="Results" width="640" height="360"></iframe>`
  byId('client-code', HTMLElement).textContent = [
    `import { createTallyClient } from '${origin}/assets/gateway/web/client/tally-client.js'`,
    '',
    'const client = createTallyClient()',
    `client.subscribe('${poll}', (tally, poll) => {`,
    '  console.log(poll.question, tally.counts, tally.total)',
    '})',
    "client.addEventListener('status', ({ detail }) => console.log(detail.state))",
  ].join('\n')
  byId('socket-address', HTMLElement).textContent = `${origin.replace(/^http/, 'ws')}/ws?poll=${poll}`
}

/** Shows the poll itself and its frames on the wire. */
function follow(poll: string): void {
  tally.setAttribute('poll', poll)
  followed?.abort()
  followed = new AbortController()
  client.subscribe(poll, (frame) => (byId('frame', HTMLElement).textContent = JSON.stringify(frame, undefined, 2)), {
    signal: followed.signal,
  })
}

async function showPolls(): Promise<void> {
  const loaded = await load<{ readonly polls: readonly PollFrame[] }>('/api/polls', () => {})
  const polls = loaded.ok ? loaded.content.polls : []
  const first = polls.find(({ state }) => state === 'open') ?? polls[0]
  for (const { poll, question } of polls) picker.add(new Option(question, poll, false, poll === first?.poll))
  byId('pick', HTMLElement).hidden = polls.length < 2
  byId('no-poll', HTMLElement).hidden = first !== undefined
  tally.hidden = first === undefined
  show(first?.poll ?? 'cats-or-dogs')
  if (first) follow(first.poll)
}

function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  className: string,
  ...content: readonly (string | Node)[]
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name)
  made.className = className
  made.append(...content)
  return made
}

/** Descriptions put code between backticks. */
function prose(text: string): (string | Node)[] {
  return text.split('`').map((part, index) => (index % 2 === 1 ? element('code', '', part) : part))
}

function codeBlock(label: string, text: string): HTMLElement {
  const block = element('pre', '', element('code', '', text))
  // the block scrolls sideways, so the keyboard has to reach it
  block.tabIndex = 0
  block.setAttribute('role', 'region')
  block.setAttribute('aria-label', label)
  return block
}

function shapeBlocks(title: string, shape: Shape): HTMLElement[] {
  const heading = element('h3', '', `${title} · ${shape.mediaType}`)
  const example =
    shape.example === undefined ? [] : [element('p', 'note', 'Such as'), codeBlock(`${title}, example`, shape.example)]
  return [heading, codeBlock(title, shape.type), ...example]
}

function operationElement(operation: Operation): HTMLElement {
  const { method, path, summary, description, isGuarded, parameters, body, responses } = operation
  const name = `${method} ${path}`
  const made = element('details', 'operation')
  const guard = isGuarded ? [element('span', 'tag', 'token')] : []
  made.append(
    element('summary', '', element('b', '', method), element('code', '', path), element('span', 'note', summary), ...guard),
  )
  const inside = element('div', 'inside')
  if (description) inside.append(element('p', '', ...prose(description)))
  if (parameters.length > 0) {
    const list = element('ul', '')
    for (const { name: parameter, place, isRequired, type } of parameters)
      list.append(element('li', '', element('code', '', `${parameter}${isRequired ? '' : '?'}: ${type}`), ` in the ${place}`))
    inside.append(element('h3', '', 'Parameters'), list)
  }
  if (body) inside.append(...shapeBlocks(`Body of ${name}`, body))
  inside.append(element('h3', '', 'Answers'))
  const answers = element('ul', '')
  for (const response of responses)
    answers.append(element('li', '', element('code', '', response.status), ' ', ...prose(response.description)))
  inside.append(answers)
  for (const { status, content } of responses)
    if (content && status.startsWith('2')) inside.append(...shapeBlocks(`${status} of ${name}`, content))
  made.append(inside)
  return made
}

async function showOperations(): Promise<void> {
  const loaded = await load<OpenApi>('/openapi.json', () =>
    setText(notice, 'The description cannot be loaded at present. Trying again…'),
  )
  setText(notice, loaded.ok ? undefined : 'This server has no description of its routes.')
  if (loaded.ok) byId('operations', HTMLElement).replaceChildren(...operationsOf(loaded.content).map(operationElement))
}

picker.addEventListener('change', () => {
  show(picker.value)
  follow(picker.value)
})
await Promise.all([showPolls(), showOperations()])
