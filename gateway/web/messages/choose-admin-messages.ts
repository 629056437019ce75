import { adminDe } from './admin-de.ts'
import { adminEn } from './admin-en.ts'
import type { AdminMessages } from './admin-messages.ts'

const LANGUAGES: Readonly<Record<string, AdminMessages>> = { en: adminEn, de: adminDe }

/** Chooses the language that the rest of the page has. */
export function adminMessagesFor(language: string): AdminMessages {
  return LANGUAGES[language] ?? adminEn
}
