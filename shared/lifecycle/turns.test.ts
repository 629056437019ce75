import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTurns } from './turns.ts'

const nextTurn = () => new Promise<void>((resolve) => setImmediate(resolve))

test('lets so many through in each turn of the event loop, in their order', async () => {
  const turn = createTurns(3)
  const entered: number[] = []
  const all = Array.from({ length: 8 }, async (_, index) => {
    await turn()
    entered.push(index)
  })
  await Promise.resolve()
  assert.deepEqual(entered, [0, 1, 2], 'the first ones wait for nothing')
  const perTurn: number[] = []
  while (entered.length < 8) {
    const before = entered.length
    await nextTurn()
    perTurn.push(entered.length - before)
  }
  await Promise.all(all)
  assert.ok(
    perTurn.every((count) => count <= 3),
    String(perTurn),
  )
  assert.deepEqual(entered, [0, 1, 2, 3, 4, 5, 6, 7])
  await nextTurn()
  await turn()
})

test('leaves the event loop time for what else there is to do', async () => {
  const turn = createTurns(10)
  let turns = 0
  let isOver = false
  const count = () => {
    turns += 1
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  await Promise.all(Array.from({ length: 1_000 }, turn))
  isOver = true
  assert.ok(turns >= 98, `1 000 passed in ${turns} turns`)
})
