import type { Messages } from '../messages/messages.ts'
import { byId, setText } from './dom.ts'

export type PresenterAction = 'f' | 'h' | 'q' | 'n' | '?'

/** Keys for the presenter, and the same actions as buttons in a list that `?` opens. */
export function listenForKeys(messages: Messages, actions: Readonly<Record<Exclude<PresenterAction, '?'>, () => void>>): void {
  const dialog = byId('keys', HTMLDialogElement)
  const list = byId('key-list', HTMLUListElement)
  const toggleHelp = () => (dialog.open ? dialog.close() : dialog.showModal())
  const perform = new Map<string, () => void>([...Object.entries(actions), ['?', toggleHelp]])

  setText(byId('keys-title', HTMLElement), messages.results.keys)
  setText(byId('close', HTMLElement), messages.results.close)
  const help = byId('help', HTMLButtonElement)
  help.setAttribute('aria-label', messages.results.keys)
  help.addEventListener('click', toggleHelp)
  for (const [key, meaning] of messages.results.help) {
    const item = document.createElement('li')
    const button = document.createElement('button')
    const cap = document.createElement('kbd')
    cap.textContent = key
    button.type = 'button'
    button.append(cap, ` ${meaning}`)
    button.addEventListener('click', () => {
      dialog.close()
      if (key !== '?') perform.get(key)?.()
    })
    item.append(button)
    list.append(item)
  }
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return
    const action = perform.get(event.key.toLowerCase())
    if (!action || (dialog.open && event.key !== '?')) return
    event.preventDefault()
    action()
  })
}
