import { de } from './de.ts'
import { en } from './en.ts'
import type { Messages } from './messages.ts'

const LANGUAGES: readonly Messages[] = [en, de]

/**
 * The messages of the first language on the reader's list that there are messages for, else English. A browser's `navigator.languages`
 * is the list it sends as `Accept-Language` (RFC 9110 §12.5.4).
 */
export function chooseMessages(wanted: readonly string[]): Messages {
  for (const tag of wanted) {
    const found = LANGUAGES.find(({ language }) => language === tag.toLowerCase().split('-')[0])
    if (found) return found
  }
  return en
}
