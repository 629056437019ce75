import { chooseMessages } from '../messages/choose-messages.ts'

/** The messages in the reader's language, which the page declares as its `lang`. */
export const messages = chooseMessages(navigator.languages)
document.documentElement.lang = messages.language

export const formatNumber = (count: number): string => new Intl.NumberFormat(messages.language).format(count)
/** “a, b and c” in the reader's language. */
export const formatList = (items: readonly string[]): string => new Intl.ListFormat(messages.language).format(items)
export const formatVotes = (count: number): string => messages.votes(count, formatNumber(count))

/** A time, with its day unless that is today. */
export function formatTime(iso: string): string {
  const date = new Date(iso)
  const isToday = date.toDateString() === new Date().toDateString()
  return new Intl.DateTimeFormat(messages.language, { timeStyle: 'short', ...(isToday ? {} : { dateStyle: 'medium' }) }).format(
    date,
  )
}
