import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createBallotSender, type BallotState } from './ballot-sender.ts'

type Answer = number | Error | (() => Promise<number>)

/** A sender whose server gives these answers in turn, the last one ever after. */
function send(...answers: Answer[]) {
  const puts: string[] = []
  const states: BallotState[] = []
  const kept: (string | undefined)[] = []
  let watcher: (() => void) | undefined
  const sender = createBallotSender({
    put: async (option) => {
      puts.push(option)
      const answer = answers.length > 1 ? answers.shift() : answers[0]
      if (answer instanceof Error) throw answer
      const status = typeof answer === 'function' ? await answer() : (answer ?? 200)
      const problem = { type: '/problems/poll-closed', title: 'The poll is closed', status, detail: '' }
      return new Response(JSON.stringify(status < 300 ? {} : problem), { status })
    },
    keep: (option) => kept.push(option),
    onChange: (state) => {
      states.push(state)
      watcher?.()
    },
    random: () => 0,
  })
  const reaches = (kind: BallotState['kind']) =>
    new Promise<BallotState>((resolve) => {
      watcher = () => {
        const last = states.at(-1)
        if (last?.kind === kind) resolve(last)
      }
      watcher()
    })
  return { sender, puts, states, kept, reaches }
}

test('a tap is sent, acknowledged, and no longer kept', async () => {
  const { sender, puts, states, kept, reaches } = send(200)
  sender.choose('cats')
  await reaches('counted')
  assert.deepEqual(puts, ['cats'])
  assert.deepEqual(states, [
    { kind: 'sending', option: 'cats', isRetry: false },
    { kind: 'counted', option: 'cats' },
  ])
  assert.deepEqual(kept, ['cats', undefined])
})

test('without a network, and while servers fail or are busy, it is repeated until it is counted', async () => {
  const { sender, puts, states, reaches } = send(new TypeError('offline'), 503, 429, 500, 200)
  sender.choose('cats')
  await reaches('counted')
  assert.equal(puts.length, 5)
  assert.ok(states.some((state) => state.kind === 'sending' && state.isRetry))
})

test('the first vote of a browser is refused with a cookie and repeated at once', async () => {
  const { sender, puts, states, reaches } = send(401, 200)
  sender.choose('cats')
  await reaches('counted')
  assert.equal(puts.length, 2)
  assert.ok(!states.some((state) => state.kind === 'sending' && state.isRetry))
})

test('what the poll does not take is refused with the reason and not repeated', async () => {
  const { sender, puts, kept, reaches } = send(409)
  sender.choose('cats')
  const state = await reaches('refused')
  assert.deepEqual(state, { kind: 'refused', option: 'cats', problem: 'poll-closed', title: 'The poll is closed' })
  assert.equal(puts.length, 1)
  assert.equal(kept.at(-1), undefined)
})

test('a change of mind on the way is sent after the first, never beside it, and only the last is called counted', async () => {
  const first = Promise.withResolvers<number>()
  let atOnce = 0
  let most = 0
  const slow = async () => {
    most = Math.max(most, ++atOnce)
    const status = await first.promise
    atOnce--
    return status
  }
  const { sender, puts, states, reaches } = send(slow)
  sender.choose('cats')
  sender.choose('dogs')
  sender.choose('birds')
  assert.deepEqual(puts, ['cats'])
  first.resolve(200)
  assert.deepEqual(await reaches('counted'), { kind: 'counted', option: 'birds' })
  assert.deepEqual(puts, ['cats', 'birds'])
  assert.equal(most, 1)
  assert.ok(!states.some((state) => state.kind === 'counted' && state.option === 'cats'))
})

test('an answer that is no problem document is still told', async () => {
  const states: BallotState[] = []
  const told = Promise.withResolvers<void>()
  const sender = createBallotSender({
    put: async () => new Response('<html>', { status: 413, statusText: 'Content Too Large' }),
    onChange: (state) => {
      states.push(state)
      if (state.kind === 'refused') told.resolve()
    },
  })
  sender.choose('cats')
  await told.promise
  assert.deepEqual(states.at(-1), { kind: 'refused', option: 'cats', problem: 'internal', title: 'Content Too Large' })
})
