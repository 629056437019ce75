import type { Answer } from '../model/admin-answer.ts'
import { creationOf, editOf, EMPTY_DRAFT, slugOf, withdrawnOptions, type PollDraft } from '../model/poll-draft.ts'
import type { AdminApi } from './admin-api.ts'
import { adminMessages, setTexts } from './admin-language.ts'
import { createOptionRows } from './admin-options.ts'
import { byId, setText } from './dom.ts'
import { formatList, formatVotes } from './language.ts'

export interface Editor {
  /** Opens the form, for a new poll or with what there is of one. */
  open(before?: PollDraft): void
}

export interface EditorOptions {
  readonly api: () => AdminApi
  /** Shows what an answer means that is not good. */
  readonly faultOf: (answer: Exclude<Answer, { kind: 'ok' }>) => string
  /** Asks the organiser a question, and whether to go on with an action. */
  readonly confirmed: (question: string, action: string) => Promise<boolean>
  readonly onSaved: (label: string, question: string) => void
}

/** The form that creates and changes polls. */
export function createEditor({ api, faultOf, confirmed, onSaved }: EditorOptions): Editor {
  const text = adminMessages.editor
  const dialog = byId('editor', HTMLDialogElement)
  const question = byId('question', HTMLInputElement)
  const name = byId('name', HTMLInputElement)
  const opensAt = byId('opens-at', HTMLInputElement)
  const closesAt = byId('closes-at', HTMLInputElement)
  const changeAllowed = byId('change-allowed', HTMLInputElement)
  const visibility = byId('visibility', HTMLSelectElement)
  const policy = byId('policy', HTMLSelectElement)
  const table = byId('table', HTMLInputElement)
  const column = byId('column', HTMLInputElement)
  const fault = byId('editor-fault', HTMLElement)
  const save = byId('save', HTMLButtonElement)
  const options = createOptionRows()
  let before: PollDraft | undefined
  let isNamed = false

  setTexts({
    'question-label': text.question,
    'name-label': text.name,
    'name-hint': text.nameHint,
    'options-label': text.options,
    'add-option': text.add,
    'schedule-label': text.schedule,
    'opens-label': text.opensAt,
    'closes-label': text.closesAt,
    'rules-label': text.rules,
    'change-label': text.changeAllowed,
    'visibility-label': text.visibility,
    'policy-label': text.policy,
    'source-label': text.source,
    'source-hint': text.sourceHint,
    'table-label': text.table,
    'column-label': text.optionColumn,
    save: text.save,
    'editor-cancel': text.cancel,
  })
  for (const [value, label] of Object.entries(text.visibilities)) visibility.add(new Option(label, value))
  for (const [value, label] of Object.entries(text.policies)) policy.add(new Option(label, value))

  const read = (): PollDraft => ({
    poll: name.value,
    question: question.value,
    options: options.read(),
    opensAt: opensAt.value,
    closesAt: closesAt.value,
    changeAllowed: changeAllowed.checked,
    visibility: visibility.value as PollDraft['visibility'],
    policy: policy.value as PollDraft['policy'],
    source: { table: table.value.trim(), optionColumn: column.value.trim() },
  })
  const fill = (draft: PollDraft) => {
    name.value = draft.poll
    question.value = draft.question
    options.fill(draft.options)
    opensAt.value = draft.opensAt
    closesAt.value = draft.closesAt
    changeAllowed.checked = draft.changeAllowed
    visibility.value = draft.visibility
    policy.value = draft.policy
    table.value = column.value = ''
  }
  /** Whether the options that the edit takes from the poll have no votes, or the organiser knows what becomes of those. */
  const mayWithdraw = async (old: PollDraft, draft: PollDraft): Promise<boolean> => {
    const withdrawn = withdrawnOptions(old, draft)
    if (withdrawn.length === 0) return true
    const answer = await api()('GET', `/api/polls/${draft.poll}/counts`)
    if (answer.kind !== 'ok') {
      setText(fault, faultOf(answer))
      return false
    }
    const { counts } = (await answer.response.json()) as { readonly counts: Readonly<Record<string, number>> }
    const { confirm } = adminMessages
    const withVotes = withdrawn.flatMap(({ id, label }) => {
      const count = counts[id] ?? 0
      return count > 0 ? [confirm.withdrawnOption(label, id, formatVotes(count))] : []
    })
    if (withVotes.length === 0) return true
    const asked = confirm.withdraw(formatList(withVotes))
    return await confirmed(draft.changeAllowed ? asked : `${asked} ${confirm.withdrawFinal}`, confirm.withdrawGo)
  }
  const send = async (draft: PollDraft, edit: object | undefined): Promise<Answer | undefined> => {
    if (!edit) return await api()('POST', '/api/polls', creationOf(draft))
    if (before && !(await mayWithdraw(before, draft))) return undefined
    return await api()('PATCH', `/api/polls/${draft.poll}`, edit)
  }
  const submit = async () => {
    const draft = read()
    const edit = before && editOf(before, draft)
    if (before && !edit) {
      dialog.close()
      return
    }
    save.disabled = true
    const answer = await send(draft, edit)
    save.disabled = false
    if (!answer) return
    if (answer.kind !== 'ok') {
      setText(fault, faultOf(answer))
      return
    }
    dialog.close()
    onSaved(before ? text.edit : text.create, draft.question)
  }

  question.addEventListener('input', () => {
    if (!before && !isNamed) name.value = slugOf(question.value)
  })
  name.addEventListener('input', () => (isNamed = name.value !== ''))
  table.addEventListener('input', () => (column.required = table.value.trim() !== ''))
  byId('add-option', HTMLButtonElement).addEventListener('click', () => options.add())
  byId('editor-cancel', HTMLButtonElement).addEventListener('click', () => dialog.close())
  byId('editor-form', HTMLFormElement).addEventListener('submit', (event) => {
    event.preventDefault()
    void submit()
  })

  return {
    open(draft) {
      before = draft
      isNamed = draft !== undefined
      setText(byId('editor-title', HTMLElement), draft ? text.edit : text.create)
      // slug, policy and what a poll counts never change after its creation
      for (const id of ['name-field', 'policy-field', 'source']) byId(id, HTMLElement).hidden = draft !== undefined
      fill(draft ?? EMPTY_DRAFT)
      setText(fault, undefined)
      dialog.showModal()
      question.focus()
    },
  }
}
