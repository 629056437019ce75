import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BundledAnswer, BundledVote } from '../../shared/protocol/vote-bundle.ts'
import { bundleVotes } from './vote-bundler.ts'

const vote = (voter: string, more: Partial<BundledVote> = {}): BundledVote => ({
  poll: 'tea',
  cookie: `voter=${voter}`,
  body: `{"option":"${voter}"}`,
  isSecure: false,
  requestId: `request-${voter}`,
  ...more,
})

/** A bundler that writes down what it casts, and turns that the test ends. */
function bundlerFor(answer: (votes: readonly BundledVote[]) => readonly BundledAnswer[]) {
  const bundles: (readonly BundledVote[])[] = []
  const turns: (() => void)[] = []
  const cast = bundleVotes(
    async (votes) => {
      bundles.push(votes)
      return answer(votes)
    },
    (run) => turns.push(run),
  )
  const endTurn = () => {
    for (const run of turns.splice(0)) run()
  }
  return { cast, bundles, endTurn, sizes: () => bundles.map(({ length }) => length) }
}

/** Answers each vote with its own body. */
const echo = (votes: readonly BundledVote[]) => votes.map(({ body }) => ({ status: 200, headers: {}, body }))

test('votes of one turn go together, and each gets its own answer', async () => {
  const { cast, bundles, endTurn } = bundlerFor(echo)
  const answers = ['a', 'b', 'c'].map((voter) => cast(vote(voter)))
  assert.equal(bundles.length, 0)
  endTurn()
  assert.deepEqual(
    (await Promise.all(answers)).map(({ body }) => body),
    ['a', 'b', 'c'].map((voter) => `{"option":"${voter}"}`),
  )
  assert.deepEqual(bundles, [[vote('a'), vote('b'), vote('c')]])
})

test('a vote that comes alone waits for no other', async () => {
  const { cast, sizes, endTurn } = bundlerFor(echo)
  for (const voter of ['a', 'b']) {
    const answer = cast(vote(voter))
    endTurn()
    assert.equal((await answer).body, `{"option":"${voter}"}`)
  }
  assert.deepEqual(sizes(), [1, 1])
})

test('a full bundle does not wait for the end of the turn, whether of many votes or of large ones', async () => {
  const many = bundlerFor(echo)
  const answers = Array.from({ length: 501 }, (_, index) => many.cast(vote(`voter-${index}`)))
  assert.deepEqual(many.sizes(), [500])
  many.endTurn()
  assert.equal((await Promise.all(answers)).length, 501)
  assert.deepEqual(many.sizes(), [500, 1])

  const large = bundlerFor(echo)
  const body = 'x'.repeat(65_536)
  const largeAnswers = Array.from({ length: 5 }, () => large.cast(vote('a', { body })))
  assert.deepEqual(large.sizes(), [3])
  large.endTurn()
  assert.equal((await Promise.all(largeAnswers)).length, 5)
  assert.deepEqual(large.sizes(), [3, 2])

  const swelling = bundlerFor(echo)
  const ticket = '"'.repeat(100_000)
  const others = ['\u0001'.repeat(40_000), 'a', 'ß'.repeat(40_000), 'b'].map((text) => swelling.cast(vote('a', { body: text })))
  const swellingAnswers = [...others, swelling.cast(vote('a', { ticket }))]
  swelling.endTurn()
  assert.equal((await Promise.all(swellingAnswers)).length, 5)
  assert.deepEqual(swelling.sizes(), [2, 2, 1], 'it is what they have as JSON that counts')
})

test('when a bundle fails, or is answered in part, nobody waits for ever', async () => {
  for (const answer of [
    () => {
      throw new Error('a fault')
    },
    () => [],
  ]) {
    const { cast, endTurn } = bundlerFor(answer)
    const answers = ['a', 'b'].map((voter) => cast(vote(voter)))
    endTurn()
    for (const { status } of await Promise.allSettled(answers)) assert.equal(status, 'rejected')
  }
})
