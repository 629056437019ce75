import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { BundledAnswer, BundledVote } from '../../shared/protocol/vote-bundle.ts'
import { stampVotes } from './stamp-votes.ts'

const VOTE = { poll: 'tea', body: '{"option":"green"}', isSecure: false, requestId: 'r' }
const ACCEPTED: BundledAnswer = { status: 200, headers: {}, body: '{}' }
const overtaken = (standing: number): BundledAnswer => ({ status: 409, headers: {}, body: '{}', standing })

/** Casts a vote that gets the given answers, one after the other; says which stamps it had. */
async function castWith(answers: readonly BundledAnswer[], isAwaited = () => true, clock = [100], hasHalted = false) {
  const stamps: (number | undefined)[] = []
  const times = [...clock]
  const castVote = async ({ stamp }: BundledVote) => {
    stamps.push(stamp)
    return answers[stamps.length - 1] ?? assert.fail('cast too often')
  }
  const { status } = await stampVotes(castVote, () => times.shift() ?? 0, { isRecent: () => hasHalted })(VOTE, isAwaited)
  return { stamps, status }
}

test('a vote is cast with the stamp of its arrival', async () => {
  assert.deepEqual(await castWith([ACCEPTED]), { stamps: [100], status: 200 })
})

test('a vote is cast above the ballot that stands, where that was stamped by a clock that is ahead', async () => {
  assert.deepEqual(await castWith([overtaken(500), overtaken(700), ACCEPTED]), { stamps: [100, 501, 701], status: 200 })
})

test('a vote that waited while a later one was stamped stays below it, even if its sender seems to wait', async () => {
  assert.deepEqual(await castWith([overtaken(150)], undefined, [100, 200]), { stamps: [100], status: 409 })
})

test('a vote that is overtaken three times is refused', async () => {
  assert.deepEqual(await castWith([overtaken(500), overtaken(700), overtaken(800)]), { stamps: [100, 501, 701], status: 409 })
})

test('a vote whose sender has gone is not cast again', async () => {
  assert.deepEqual(await castWith([overtaken(500)], () => false), { stamps: [100], status: 409 })
})

test('a vote that its client ordered is not cast again', async () => {
  assert.deepEqual(await castWith([{ ...ACCEPTED, status: 409 }]), { stamps: [100], status: 409 })
})

test('after a halt, a vote whose sender has gone meanwhile is not cast', async () => {
  let turns = 0
  const isAwaited = () => turns < 3
  const turn = () => void (++turns < 3 && setImmediate(turn))
  setImmediate(turn)
  assert.deepEqual(await castWith([ACCEPTED], isAwaited, [100], true), { stamps: [], status: 503 })
})

test('after a halt, a vote whose sender waits is cast', async () => {
  assert.deepEqual(await castWith([ACCEPTED], undefined, [100], true), { stamps: [100], status: 200 })
})
