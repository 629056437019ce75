import type { PollFrame } from '../../../shared/protocol/frames.ts'

export type Visibility = 'live' | 'after-vote' | 'after-close'
export type Policy = 'cookie' | 'ticket'

/** What the organiser sets beside the question. */
export interface Settings {
  readonly changeAllowed: boolean
  readonly visibility: Visibility
  readonly policy: Policy
}

export interface DraftOption {
  /** Empty for an option that is new. */
  readonly id: string
  readonly label: string
  /** `#rrggbb`, or undefined for the palette's. */
  readonly color: string | undefined
}

/** A poll as a form holds it: times as `datetime-local` has them, in the organiser's own zone, empty for none. */
export interface PollDraft extends Settings {
  readonly poll: string
  readonly question: string
  readonly options: readonly DraftOption[]
  readonly opensAt: string
  readonly closesAt: string
  readonly source: { readonly table: string; readonly optionColumn: string }
}

export const EMPTY_DRAFT: PollDraft = {
  poll: '',
  question: '',
  options: [1, 2].map(() => ({ id: '', label: '', color: undefined })),
  opensAt: '',
  closesAt: '',
  changeAllowed: true,
  visibility: 'live',
  policy: 'cookie',
  source: { table: '', optionColumn: '' },
}

/** The form's contents for a poll that exists. */
export function draftOf(poll: PollFrame, settings: Settings): PollDraft {
  return {
    ...EMPTY_DRAFT,
    ...settings,
    poll: poll.poll,
    question: poll.question,
    options: poll.options.map(({ id, label, color }) => ({ id, label, color })),
    opensAt: localTime(poll.opensAt),
    closesAt: localTime(poll.closesAt),
  }
}

/** The body that creates this poll. */
export function creationOf(draft: PollDraft): object {
  const { table, optionColumn } = draft.source
  return {
    poll: draft.poll,
    policy: draft.policy,
    ...fieldsOf(draft),
    ...(table === '' ? {} : { source: { table, optionColumn } }),
  }
}

/** What changed, as the API takes it; undefined when nothing did. */
export function editOf(before: PollDraft, after: PollDraft): object | undefined {
  const old = new Map(Object.entries(fieldsOf(before)).map(([field, value]) => [field, JSON.stringify(value)]))
  const changed = Object.entries(fieldsOf(after)).filter(([field, value]) => old.get(field) !== JSON.stringify(value))
  return changed.length === 0 ? undefined : Object.fromEntries(changed)
}

/** The options that the edit takes from the poll. One that was replaced by another of the same id is still there. */
export function withdrawnOptions(before: PollDraft, after: PollDraft): readonly DraftOption[] {
  const left = new Set(fieldsOf(after).options.map(({ id }) => id))
  return before.options.filter(({ id }) => !left.has(id))
}

function fieldsOf(draft: PollDraft) {
  const taken = new Set(draft.options.map(({ id }) => id))
  return {
    question: draft.question.trim(),
    options: draft.options.map(({ id, label, color }) => ({
      id: id || newOptionId(label, taken),
      label: label.trim(),
      ...(color === undefined ? {} : { color }),
    })),
    opensAt: utcTime(draft.opensAt),
    closesAt: utcTime(draft.closesAt),
    changeAllowed: draft.changeAllowed,
    visibility: draft.visibility,
  }
}

/** A name for links: the words of the text in plain small letters, 64 characters at most. */
export function slugOf(text: string): string {
  const plain = text.replaceAll('ß', 'ss').normalize('NFKD').replaceAll(/\p{M}/gu, '').toLowerCase()
  return plain
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 64)
    .replaceAll(/^-+|-+$/g, '')
}

/** Derives an option's id from its label, since people read the ids in exports; a number tells equal ids apart. */
function newOptionId(label: string, taken: Set<string>): string {
  const stem = slugOf(label).slice(0, 56) || 'option'
  let id = stem
  for (let count = 2; taken.has(id); count++) id = `${stem}-${count}`
  taken.add(id)
  return id
}

/** A moment as `datetime-local` shows it: to the minute, without a zone. */
function localTime(iso: string | null): string {
  if (iso === null) return ''
  const date = new Date(iso)
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}

function utcTime(local: string): string | null {
  return local === '' ? null : new Date(local).toISOString()
}
