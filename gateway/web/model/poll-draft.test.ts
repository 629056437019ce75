import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { PollFrame } from '../../../shared/protocol/frames.ts'
import { creationOf, draftOf, editOf, EMPTY_DRAFT, slugOf, withdrawnOptions, type PollDraft } from './poll-draft.ts'

const POLL: PollFrame = {
  type: 'poll',
  poll: 'tea-or-coffee',
  question: 'Tea or coffee?',
  options: [
    { id: 'tea', label: 'Tea', color: '#009e73' },
    { id: 'coffee', label: 'Coffee' },
  ],
  state: 'open',
  resultsVisible: true,
  opensAt: null,
  closesAt: '2030-05-01T18:30:00.000Z',
}
const DRAFT = draftOf(POLL, { changeAllowed: true, visibility: 'live', policy: 'cookie' })
const option = (label: string) => ({ id: '', label, color: undefined })

test('a poll that was not touched has nothing to save, whatever zone its times were shown in', () => {
  assert.equal(editOf(DRAFT, { ...DRAFT, question: ' Tea or coffee? ' }), undefined)
  assert.match(DRAFT.closesAt, /^2030-0[45]-\d\dT\d\d:\d\d$/)
})

test('an edit carries what changed and nothing else', () => {
  assert.deepEqual(editOf(DRAFT, { ...DRAFT, closesAt: '', visibility: 'after-close' }), {
    closesAt: null,
    visibility: 'after-close',
  })
  const moved = editOf(DRAFT, { ...DRAFT, options: [...DRAFT.options.toReversed(), option('Water')] })
  assert.deepEqual(moved, {
    options: [
      { id: 'coffee', label: 'Coffee' },
      { id: 'tea', label: 'Tea', color: '#009e73' },
      { id: 'water', label: 'Water' },
    ],
  })
})

test('new options are named after their labels, each differently', () => {
  const draft: PollDraft = {
    ...EMPTY_DRAFT,
    poll: 'p',
    question: 'Q',
    options: [option('Tee & Milch'), option('Tee, Milch'), option('茶')],
  }
  const { options } = creationOf(draft) as { options: { id: string }[] }
  assert.deepEqual(
    options.map(({ id }) => id),
    ['tee-milch', 'tee-milch-2', 'option'],
  )
  const added = editOf(DRAFT, { ...DRAFT, options: [...DRAFT.options, option('Tea')] }) as { options: { id: string }[] }
  assert.equal(added.options.at(-1)?.id, 'tea-2')
})

test('an option is withdrawn when the poll has no option of its id any more, whatever its label', () => {
  const [tea, coffee] = DRAFT.options
  if (!tea || !coffee) throw new Error('no options')
  assert.deepEqual(withdrawnOptions(DRAFT, { ...DRAFT, options: [{ ...coffee, label: 'Tea' }, option('Water')] }), [tea])
  assert.deepEqual(withdrawnOptions(DRAFT, { ...DRAFT, options: [coffee, option('Tea')] }), [], 'removed and added again')
  assert.deepEqual(withdrawnOptions(DRAFT, { ...DRAFT, options: [coffee, tea, option('Water')] }), [])
})

test('a poll of another table names it, one of our own does not', () => {
  assert.ok(!('source' in creationOf(EMPTY_DRAFT)))
  const source = { table: 'votes', optionColumn: 'vote' }
  assert.deepEqual((creationOf({ ...EMPTY_DRAFT, source }) as { source: object }).source, source)
})

test('names for links are what the API takes', () => {
  assert.equal(slugOf('Größe: Übung & Café?'), 'grosse-ubung-cafe')
  assert.equal(slugOf(' --- '), '')
  assert.equal(slugOf('a'.repeat(63) + ' b'), 'a'.repeat(63))
})
