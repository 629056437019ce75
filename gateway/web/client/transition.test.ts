import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Frame, GoneFrame, PollFrame, TallyFrame } from '../../../shared/protocol/frames.ts'
import { initial, transition, type Event, type Model, type Effects, type Source, type State, type Timer } from './transition.ts'

const NOW = 1_000_000
const half = () => 0.5

const tally = (poll: string, version: number): TallyFrame => ({
  type: 'tally',
  poll,
  epoch: 1,
  version,
  counts: { yes: version },
  total: version,
  at: '2026-01-02T03:04:05.000Z',
})
const definition: PollFrame = {
  type: 'poll',
  poll: 'a',
  question: 'A?',
  options: [{ id: 'yes', label: 'Yes' }],
  state: 'open',
  resultsVisible: true,
  opensAt: null,
  closesAt: null,
}
/** The same with an order, as servers send it since `livetally.v1.1`. */
const placed = (poll: string, version: number, epoch = 1): PollFrame => ({ ...definition, poll, epoch, version })
const gone = (poll: string): GoneFrame => ({ type: 'gone', poll, code: 4404, reason: 'the poll is gone' })
const alive = { type: 'alive', at: '2026-01-02T03:04:20.000Z' } as const
const drain = { type: 'drain', closeAfterMs: 4_000 } as const
const later = { type: 'later-invention' } as never

type Next = Model['next']
/** What the next socket may be doing in each state. */
const PHASES: Record<State, readonly Next[]> = {
  connecting: ['none', 'waiting', 'dialing'],
  live: ['none'],
  moving: ['waiting', 'dialing'],
  reconnecting: ['waiting', 'dialing'],
  stale: ['waiting', 'dialing'],
  closed: ['none'],
}
const STATES = Object.keys(PHASES) as State[]

/**
 * A model in `state` that follows polls a and b, has delivered version 5 of their tallies and b's definition, and version 3 of that of
 * a poll c, and waits for b from next.
 */
const situation = (state: State, next: Next): Model => ({
  ...initial,
  state,
  next,
  polls: ['a', 'b'],
  missing: next === 'dialing' ? ['b'] : [],
  attempt: 2,
  defined: new Map([
    ['b', { ...definition, poll: 'b' }],
    ['c', placed('c', 3)],
  ]),
  seen: new Map([
    ['a', tally('a', 5)],
    ['b', tally('b', 5)],
  ]),
  liveAt: NOW - 20_000,
  heardAt: NOW - 1_000,
})

const frame = (from: Source, content: Frame): Event => ({
  type: 'message',
  from,
  frame: content,
})
const closed = (from: Source, code: number): Event => ({ type: 'close', from, code, reason: 'why' })

const wordsOf = (from: Source | undefined): readonly Event[] => [
  { type: 'open', from },
  ...[definition, tally('b', 6), alive, gone('b'), drain].map((content): Event => ({ type: 'message', from, frame: content })),
  ...[1000, 1006, 1012, 1013, 4404].map((code): Event => ({ type: 'close', from, code, reason: '' })),
]

/** The events of the table's rows; where there are several, each must do what the row says. */
const EVENTS: Record<string, readonly Event[]> = {
  'want another poll': [{ type: 'want', polls: ['a', 'b', 'c'] }],
  'want fewer polls': [{ type: 'want', polls: ['a'] }],
  open: [{ type: 'open', from: 'next' }],
  'poll from feed': [frame('feed', definition)],
  'newer poll from feed': [
    frame('feed', placed('c', 4)),
    frame('feed', placed('c', 0, 2)),
    frame('feed', placed('b', 0)),
    frame('feed', { ...definition, poll: 'c' }),
  ],
  'same poll from feed': [frame('feed', { ...definition, poll: 'b' })],
  'older poll from feed': [
    frame('feed', { ...placed('c', 3), question: 'again?' }),
    frame('feed', placed('c', 2)),
    frame('feed', placed('c', 9, 0)),
  ],
  'newer tally from feed': [frame('feed', tally('a', 6)), frame('feed', { ...tally('a', 0), epoch: 2 })],
  'older tally from feed': [
    frame('feed', tally('a', 5)),
    frame('feed', tally('a', 4)),
    frame('feed', { ...tally('a', 9), epoch: 0 }),
  ],
  'alive from feed': [
    frame('feed', alive),
    frame('feed', { ...alive, silentMs: 0 }),
    frame('feed', { ...alive, silentMs: 3_100 }),
  ],
  'gone from feed': [frame('feed', gone('a')), frame('feed', gone('b'))],
  'unknown frame from feed': [
    { type: 'message', from: 'feed', frame: later },
    { type: 'message', from: 'feed', frame: undefined },
  ],
  'drain from feed': [frame('feed', drain)],
  'poll from next': [frame('next', definition)],
  'newer poll from next': [frame('next', placed('c', 4)), frame('next', placed('c', 0, 2))],
  'same poll from next': [frame('next', { ...definition, poll: 'b' })],
  'older poll from next': [frame('next', placed('c', 2)), frame('next', placed('c', 9, 0))],
  'tally from next, not last': [frame('next', tally('a', 6))],
  'last tally from next': [frame('next', tally('b', 6))],
  'last tally, but older': [frame('next', tally('b', 5)), frame('next', tally('b', 4))],
  'alive from next': [frame('next', alive), frame('next', { ...alive, silentMs: 3_100 })],
  'gone from next, not last': [frame('next', gone('a'))],
  'gone from next, last': [frame('next', gone('b'))],
  'drain from next': [frame('next', drain)],
  'feed closed 1006': [closed('feed', 1006), closed('feed', 1000), closed('feed', 1001), closed('feed', 1008)],
  'feed closed 1012': [closed('feed', 1012)],
  'feed closed 1013': [closed('feed', 1013)],
  'feed closed 4404': [closed('feed', 4400), closed('feed', 4403), closed('feed', 4404), closed('feed', 4499)],
  'feed silent': [{ type: 'due', from: 'feed' }],
  'next closed 1006': [closed('next', 1006), closed('next', 1000), closed('next', 1001), closed('next', 1008)],
  'next closed 1012': [closed('next', 1012)],
  'next closed 1013': [closed('next', 1013)],
  'next closed 4403': [closed('next', 4403), closed('next', 4404)],
  'next silent': [{ type: 'due', from: 'next' }],
  'any word of a next': [...wordsOf('next'), { type: 'due', from: 'next' }],
  'a socket that was left': wordsOf(undefined),
  'time to dial': [{ type: 'due', from: 'dial' }],
  '2 s without a feed': [{ type: 'due', from: 'lapse' }],
  wake: [{ type: 'wake', network: false }],
  'wake after a long silence': [{ type: 'wake', network: false }],
  'wake, another network': [{ type: 'wake', network: true }],
  stop: [{ type: 'stop' }],
}

/** What a word of the table adds to the effects. */
function apply(word: string, effects: Effects, event: Event, isSettled: boolean): void {
  const set = (entries: { [timer in Timer]?: number | undefined }) => {
    for (const [timer, ms] of Object.entries(entries)) effects.timers.set(timer as Timer, ms)
  }
  const attempt = isSettled ? 0 : 2
  if (word === 'deliver' && event.type === 'message') effects.deliver = event.frame as TallyFrame
  else if (word === 'dial') {
    effects.dial = true
    set({ dial: undefined, next: 10_000 })
  } else if (word === 'spread') set({ next: undefined, dial: half() * 1_000 })
  else if (word === 'back off') set({ next: undefined, dial: half() * 250 * 2 ** attempt })
  else if (word === 'back off longer') set({ next: undefined, dial: half() * 2_000 * 2 ** attempt })
  else if (word === 'promote') {
    effects.promote = true
    set({ next: undefined, lapse: undefined, feed: 35_000 })
  } else if (word === 'lose feed') {
    effects.drop.push('feed')
    set({ feed: undefined, lapse: 2_000 })
  } else if (word === 'drop next') effects.drop.push('next')
  else if (word === 'hear') set({ feed: 35_000 })
  else if (word === 'patience') set({ next: 10_000 })
  else if (word === 'hurry' || word === 'lapse') set({ [word === 'hurry' ? 'next' : 'lapse']: 2_000 })
  else if (word === 'end') {
    effects.drop.push('feed', 'next')
    set({ dial: undefined, lapse: undefined, feed: undefined, next: undefined })
  } else assert.equal(word, 'noted', 'every word of the table has an effect here')
}

interface Row {
  readonly event: string
  readonly next: string
  readonly cells: Readonly<Record<State, string>>
}

function readTable(): readonly Row[] {
  const page = readFileSync(new URL('../../../docs/protocol.md', import.meta.url), 'utf8')
  const table = page.slice(page.indexOf('<!-- transitions -->'), page.indexOf('<!-- /transitions -->'))
  const [header, , ...rows] = table
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
  assert.deepEqual(header, ['event', 'next', ...STATES])
  return rows.map(([event = '', next = '', ...cells]) => ({
    event,
    next,
    cells: Object.fromEntries(STATES.map((state, index) => [state, cells[index] ?? ''])) as Record<State, string>,
  }))
}

const table = readTable()

test('the table of docs/protocol.md names every event, and every state an event can meet', () => {
  assert.deepEqual(new Set(table.map(({ event }) => event)), new Set(Object.keys(EVENTS)))
  for (const event of Object.keys(EVENTS)) {
    // some rows are about the next socket alone: other rows cover the phases in which there is none
    const rows = table.filter((row) => row.event === event)
    for (const state of STATES) {
      for (const { next, cells } of rows) {
        const possible = next === 'any' || PHASES[state].includes(next as Next)
        assert.equal(cells[state] !== '', possible, `${event}, next ${next}, ${state}: ${cells[state]}`)
      }
    }
  }
})

for (const { event: name, next: phase, cells } of table) {
  for (const state of STATES) {
    for (const next of PHASES[state].filter((each) => phase === 'any' || phase === each)) {
      test(`${name}, ${state}, next ${next}: ${cells[state]}`, () => {
        const before = situation(state, next)
        if (name === 'wake after a long silence') Object.assign(before, { heardAt: NOW - 17_000 })
        for (const event of EVENTS[name]!) {
          const frozen = structuredClone(before)
          const { model, effects } = transition(before, event, NOW, half)
          assert.deepEqual(before, frozen, 'the model given is left as it was')
          const expected: Effects = { drop: [], timers: new Map() }
          if (cells[state] === '–') {
            assert.equal(model, before)
          } else {
            const [to, words] = cells[state].includes(':') ? cells[state].split(':') : [state, cells[state]]
            const list = (words ?? '').split(',').map((word) => word.trim())
            const isSettled = list.includes('lose feed')
            for (const word of list.filter(Boolean)) apply(word, expected, event, isSettled)
            assert.equal(model.state, to)
            assert.ok(PHASES[model.state].includes(model.next), `next is ${model.next}`)
          }
          assert.deepEqual(effects, expected)
        }
      })
    }
  }
}

/** Where a client of poll a that was shown version 5 at `NOW - 20_000` stands after these frames of its feed, each a second later. */
function after(...frames: readonly Frame[]): Model {
  return frames.reduce<Model>(
    (model, content, index) => transition(model, frame('feed', content), NOW + 1_000 * index, half).model,
    { ...situation('live', 'none'), asOf: NOW - 20_000 },
  )
}

test('a source that falls silent is told with its age: delayed, and the numbers are of then', () => {
  const { delayed, asOf } = after({ ...alive, silentMs: 3_100 })
  assert.deepEqual([delayed, asOf], [true, NOW - 3_100])
})

test('a source that speaks again ends it, and so does a newer tally', () => {
  const silent = { ...alive, silentMs: 3_100 }
  for (const news of [{ ...alive, silentMs: 0 }, tally('a', 6)]) {
    const { delayed, asOf } = after(silent, news)
    assert.deepEqual([delayed, asOf], [false, NOW + 1_000])
  }
})

test('a tally that is repeated, older or the first of its poll says nothing of the source', () => {
  const silent = { ...alive, silentMs: 3_100 }
  for (const news of [tally('a', 5), tally('a', 4), tally('c', 1)]) {
    const { delayed, asOf } = after(silent, news)
    assert.deepEqual([delayed, asOf], [true, NOW - 3_100], JSON.stringify(news))
  }
})

test('a server that does not say it has a silent source when two of its words carry the same time', () => {
  const { delayed, asOf } = after(alive, alive)
  assert.deepEqual([delayed, asOf], [true, NOW])
  assert.deepEqual(after(alive, { ...alive, at: '2026-01-02T03:04:35.000Z' }).delayed, false)
})

test('a poll that is gone is not asked for again, and is when somebody wants it again', () => {
  const { polls } = after(gone('a'))
  assert.deepEqual(polls, ['b'])
  const { effects } = transition(after(gone('a')), { type: 'want', polls: ['b', 'a'] }, NOW, half)
  assert.ok(effects.dial)
})

test('only 4400 to 4499 end it for good', () => {
  for (const code of [4400, 4403, 4404, 4499, 1000, 1001, 1005, 1006, 1008, 1011, 1012, 1013, 3000, 4000, 4399, 4500, 4999]) {
    const { model } = transition(situation('live', 'none'), closed('feed', code), NOW, half)
    assert.equal(model.state === 'closed', code >= 4400 && code < 4500, String(code))
  }
})

test('a client that is refused again and again waits longer each time, up to the cap, and less once a socket has lasted', () => {
  let model = situation('stale', 'waiting')
  const delays: unknown[] = []
  const step = (event: Event) => {
    const { model: next, effects } = transition(model, event, NOW, () => 0.999)
    model = next
    return effects.timers.get('dial')
  }
  for (let tries = 0; tries < 6; tries++) {
    step({ type: 'due', from: 'dial' })
    delays.push(step(closed('next', 1006)))
  }
  assert.deepEqual(
    delays.map((ms) => Math.round(Number(ms) / 100) * 100),
    [1_000, 2_000, 4_000, 8_000, 10_000, 10_000],
  )
  model = situation('live', 'none')
  assert.ok(Number(step(closed('feed', 1006))) <= 250)
})
