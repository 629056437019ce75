import { adminMessagesFor } from '../messages/choose-admin-messages.ts'
import { byId, setText } from './dom.ts'
import { messages } from './language.ts'

/** The organiser's messages, in the language of the page. */
export const adminMessages = adminMessagesFor(messages.language)

/** Fills elements by their ids. */
export function setTexts(texts: Readonly<Record<string, string>>): void {
  for (const [id, text] of Object.entries(texts)) setText(byId(id, HTMLElement), text)
}
