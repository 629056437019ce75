import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shareReads } from './share-reads.ts'

/** A load that says which keys it was asked for, and answers when the test says so. */
function createSource() {
  const loads: { readonly keys: readonly string[]; answer(): void; fail(): void }[] = []
  const load = async (keys: readonly string[]) => {
    const answered = Promise.withResolvers<void>()
    loads.push({ keys, answer: () => answered.resolve(), fail: () => answered.reject(new Error('the database is away')) })
    await answered.promise
    return new Map(keys.filter((key) => key !== 'unknown').map((key) => [key, `${key} of load ${loads.length}`]))
  }
  return { load, loads }
}
const soon = () => new Promise<void>((resolve) => setImmediate(resolve))

test('reads that come while one is under way share the next one, and none gets a value from before its question', async () => {
  const { load, loads } = createSource()
  const read = shareReads({ load })
  const first = read('tea')
  const crowd = Array.from({ length: 1_000 }, (_, index) => read(['tea', 'coffee', 'unknown'][index % 3] ?? ''))
  assert.deepEqual(
    loads.map(({ keys }) => keys),
    [['tea']],
  )
  loads[0]?.answer()
  assert.equal(await first, 'tea of load 1')
  await soon()
  assert.deepEqual(
    loads.map(({ keys }) => keys),
    [['tea'], ['tea', 'coffee', 'unknown']],
  )
  loads[1]?.answer()
  assert.deepEqual(new Set(await Promise.all(crowd)), new Set(['tea of load 2', 'coffee of load 2', undefined]))
  const later = read('tea')
  assert.equal(loads.length, 3, 'nothing is kept')
  loads[2]?.answer()
  assert.equal(await later, 'tea of load 3')
})

test('a load gets so many keys and no more, and a key that waits already is not asked for again', async () => {
  const { load, loads } = createSource()
  const read = shareReads({ load, atOnce: 2 })
  const all = ['a', 'b', 'c', 'd', 'e', 'b'].map(async (key) => await read(key))
  for (let turn = 0; turn < 4; turn += 1) {
    loads[turn]?.answer()
    await soon()
  }
  assert.deepEqual(
    loads.map(({ keys }) => keys),
    [['a'], ['b', 'c'], ['d', 'e']],
  )
  assert.equal((await Promise.all(all)).length, 6)
})

test('a load that fails fails its own reads alone', async () => {
  const { load, loads } = createSource()
  const read = shareReads({ load })
  const [first, second] = [read('tea'), read('tea')]
  loads[0]?.fail()
  await assert.rejects(first, /the database is away/)
  await soon()
  loads[1]?.answer()
  assert.equal(await second, 'tea of load 2')
})

test('a load that throws before it has begun fails its own reads, and the next ones are read', async () => {
  let loads = 0
  const read = shareReads({
    load: (keys) => {
      loads += 1
      if (loads === 1) throw new Error('the query cannot be written')
      return Promise.resolve(new Map(keys.map((key) => [key, loads])))
    },
  })
  await assert.rejects(read('tea'), /cannot be written/)
  assert.equal(await read('tea'), 2)
})
