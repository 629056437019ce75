import assert from 'node:assert/strict'
import { test } from 'node:test'
import { de } from '../messages/de.ts'
import { en } from '../messages/en.ts'
import { receiptOf, standingOf, type VotePageState } from './receipt.ts'

const CATS = { id: 'c1', label: 'Cats' }
const DOGS = { id: 'd1', label: 'Dogs' }
const LABELS = new Map([CATS, DOGS].map(({ id, label }) => [id, label]))
const VOTED: VotePageState = {
  poll: {
    type: 'poll',
    poll: 'pets',
    question: 'Pets?',
    options: [CATS, DOGS],
    state: 'open',
    resultsVisible: true,
    opensAt: null,
    closesAt: null,
  },
  epoch: 3,
  ballot: { option: 'c1', epoch: 3 },
  state: { kind: 'none' },
  isRemoved: false,
  changeAllowed: true,
  isFinal: false,
  needsTicket: false,
}
const WITHDRAWN: VotePageState = { ...VOTED, poll: { ...VOTED.poll, options: [DOGS] } }

/** The whole sentence, and its kind. */
function said(page: VotePageState, labels: ReadonlyMap<string, string> = LABELS, { vote } = en): string {
  const { kind, strong, rest } = receiptOf(page, vote, (option) => labels.get(option))
  return `${kind}: ${[strong, rest].filter(Boolean).join(' ')}`
}

test('a ballot that counts is said to, with what can be done about it', () => {
  assert.equal(said(VOTED), 'counted: Your vote for Cats is counted. Tap another answer to change it.')
  assert.equal(said({ ...VOTED, changeAllowed: false }), 'counted: Your vote for Cats is counted. It cannot be changed.')
  assert.equal(said({ ...VOTED, poll: { ...VOTED.poll, state: 'closed' } }), 'counted: Your vote for Cats is counted.')
})

test('once counting has begun anew, a ballot from before is not said to count', () => {
  assert.equal(standingOf({ ...VOTED, epoch: 4 }), 'unsure')
  assert.doesNotMatch(said({ ...VOTED, epoch: 4 }), /is counted|Cats/)
  assert.equal(said({ ...VOTED, epoch: 4, ballot: undefined }), 'none: Tap an answer to vote.')
  assert.equal(
    said({ ...VOTED, epoch: 4, ballot: { option: 'd1', epoch: 4 } }).slice(0, 36),
    'counted: Your vote for Dogs is count',
  )
})

test('a ballot whose option was withdrawn is said not to count, by its label', () => {
  assert.equal(said(WITHDRAWN), 'withdrawn: Cats was withdrawn. Your vote no longer counts. Tap another.')
  assert.equal(
    said(WITHDRAWN, LABELS, de),
    'withdrawn: Cats wurde zurückgezogen. Deine Stimme zählt nicht mehr. Bitte eine andere antippen.',
  )
})

test('nobody is invited to choose another who may not', () => {
  const without = 'withdrawn: Cats was withdrawn. Your vote no longer counts.'
  assert.equal(said({ ...WITHDRAWN, changeAllowed: false }), without)
  assert.equal(said({ ...WITHDRAWN, poll: { ...WITHDRAWN.poll, state: 'closed' } }), without)
})

test('an id is never shown, even where no label is known', () => {
  const none = new Map<string, string>()
  for (const messages of [en, de]) {
    const sending = { kind: 'sending', option: 'c1', isRetry: false } as const
    const pages: VotePageState[] = [
      WITHDRAWN,
      { ...WITHDRAWN, state: sending },
      { ...WITHDRAWN, state: { ...sending, isRetry: true } },
      { ...WITHDRAWN, state: { kind: 'refused', option: 'c1', problem: 'unknown-option', title: 'No such option' } },
    ]
    for (const page of pages) assert.doesNotMatch(said(page, none, messages), /c1|undefined/)
  }
  assert.equal(said(WITHDRAWN, none), 'withdrawn: Your answer was withdrawn. Your vote no longer counts. Tap another.')
})

test('a vote that waits because many come from its address says so, and when it is sent again', () => {
  const state = { kind: 'sending', option: 'c1', isRetry: true, crowdedForS: 7 } as const
  assert.equal(
    said({ ...VOTED, state }),
    'waiting: Very many votes come from your network at present. Your vote for Cats is kept and sent again in 7 s.',
  )
  assert.match(said({ ...VOTED, state }, LABELS, de), /^waiting: .*Cats .* in 7 s /)
})

test('a poll that was deleted is said to be, whatever was under way', () => {
  const sending = { kind: 'sending', option: 'c1', isRetry: true } as const
  for (const state of [VOTED.state, sending]) {
    assert.equal(said({ ...VOTED, isRemoved: true, state }), 'removed: This poll was removed.')
    assert.equal(standingOf({ ...VOTED, isRemoved: true, state }), 'none')
  }
})

test('a refusal is told together with the ballot that stands', () => {
  const refused = { kind: 'refused', option: 'd1', problem: 'poll-closed', title: 'The poll is closed' } as const
  const expected = 'refused: Your vote was not counted: The poll is closed Your vote for Cats is counted.'
  assert.equal(said({ ...VOTED, state: refused }), expected)
  assert.equal(said({ ...VOTED, state: refused, isFinal: true }), 'counted: Your vote for Cats is counted. It cannot be changed.')
})
