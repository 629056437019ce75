import type { PollFrame } from '../../../shared/protocol/frames.ts'
import type { Policy } from '../model/poll-draft.ts'
import { adminMessages } from './admin-language.ts'
import { formatVotes, messages } from './language.ts'

export type Listed = PollFrame & { readonly total: number; readonly sourceGone?: boolean }
export type CardAction = 'state' | 'visibility' | 'edit' | 'tickets' | 'csv' | 'reset' | 'remove'

export interface Card {
  readonly element: HTMLLIElement
  update(poll: Listed): void
  /** Shows the button for tickets only where the policy takes them. */
  setPolicy(policy: Policy): void
  /** Whether `setPolicy` has been called. */
  readonly hasPolicy: boolean
}

/** A poll on the desk. Its buttons stay the same elements while the poll changes, so focus stays where it is. */
export function createCard(onAction: (action: CardAction, poll: Listed, label: string) => void): Card {
  const text = adminMessages.polls
  const element = document.createElement('li')
  const title = document.createElement('h3')
  const facts = document.createElement('p')
  const state = document.createElement('span')
  const hidden = document.createElement('span')
  const sourceGone = document.createElement('span')
  const total = document.createElement('span')
  const votePage = document.createElement('a')
  const bigScreen = document.createElement('a')
  const actions = document.createElement('p')
  element.className = 'card poll'
  state.className = hidden.className = sourceGone.className = 'tag'
  hidden.textContent = text.hidden
  sourceGone.textContent = text.sourceGone
  votePage.textContent = text.vote
  bigScreen.textContent = text.results
  actions.className = 'actions'
  facts.append(state, ' ', hidden, ' ', sourceGone, ' ', total, ' ', votePage, ' ', bigScreen)
  element.append(title, facts, actions)

  let shown: Listed | undefined
  let hasPolicy = false
  const button = (action: CardAction, label: string) => {
    const made = document.createElement('button')
    made.type = 'button'
    made.className = action === 'reset' || action === 'remove' ? 'small danger' : 'small'
    made.textContent = label
    made.addEventListener('click', () => shown && onAction(action, shown, made.textContent))
    actions.append(made)
    return made
  }
  const buttons = {
    state: button('state', text.close),
    visibility: button('visibility', text.hide),
    edit: button('edit', text.edit),
    tickets: button('tickets', text.tickets),
    csv: button('csv', text.csv),
    reset: button('reset', text.reset),
    remove: button('remove', text.remove),
  }
  buttons.tickets.hidden = true

  return {
    element,
    get hasPolicy() {
      return hasPolicy
    },
    setPolicy(policy) {
      hasPolicy = true
      buttons.tickets.hidden = policy !== 'ticket'
    },
    update(poll) {
      shown = poll
      title.textContent = poll.question
      state.textContent = messages.home[poll.state]
      state.dataset['state'] = poll.state
      hidden.hidden = poll.resultsVisible
      sourceGone.hidden = poll.sourceGone !== true
      total.textContent = formatVotes(poll.total)
      votePage.href = `/p/${poll.poll}`
      bigScreen.href = `/p/${poll.poll}/results`
      buttons.state.textContent = poll.state === 'open' ? text.close : text.open
      buttons.visibility.textContent = poll.resultsVisible ? text.hide : text.show
      // a closed poll shows its result, whatever was hidden while it ran
      buttons.visibility.disabled = poll.state === 'closed' && poll.resultsVisible
      for (const each of Object.values(buttons)) each.setAttribute('aria-label', text.of(each.textContent, poll.question))
    },
  }
}
