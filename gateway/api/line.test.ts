import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLine } from './line.ts'

/** Works that end when the test says so, in a line for two with a patience of ten seconds. */
function createScene() {
  const scene = { now: 0 }
  const inLine = createLine({ atOnce: 2, patienceMs: 10_000, now: () => scene.now })
  const begun: string[] = []
  const ends = new Map<string, PromiseWithResolvers<void>>()
  const gone = new Set<string>()
  const ask = (name: string) =>
    inLine(
      async () => {
        begun.push(name)
        const end = Promise.withResolvers<void>()
        ends.set(name, end)
        await end.promise
        return name
      },
      () => !gone.has(name),
    )
  return {
    scene,
    begun,
    gone,
    ask,
    end: (name: string) => ends.get(name)?.resolve(),
    fail: (name: string) => ends.get(name)?.reject(new Error(name)),
  }
}
const soon = () => new Promise<void>((resolve) => setImmediate(resolve))

test('so many at a time, in the order in which they came, also after one that failed', async () => {
  const { begun, ask, end, fail } = createScene()
  const all = ['a', 'b', 'c', 'd'].map(ask)
  await soon()
  assert.deepEqual(begun, ['a', 'b'])
  end('b')
  assert.equal(await all[1], 'b')
  await soon()
  assert.deepEqual(begun, ['a', 'b', 'c'])
  fail('a')
  await assert.rejects(all[0] ?? Promise.resolve(), /a/)
  await soon()
  assert.deepEqual(begun, ['a', 'b', 'c', 'd'])
  end('c')
  end('d')
  assert.deepEqual(await Promise.all(all.slice(2)), ['c', 'd'])
  const later = ask('e')
  await soon()
  end('e')
  assert.equal(await later, 'e')
})

test('turns away those that have waited too long', async () => {
  const { scene, begun, ask, end } = createScene()
  const all = ['a', 'b', 'c', 'd'].map(ask)
  scene.now = 5_000
  const late = ask('e')
  scene.now = 10_001
  end('a')
  assert.deepEqual(await Promise.all([all[2], all[3]]), [undefined, undefined])
  await soon()
  assert.deepEqual(begun, ['a', 'b', 'e'])
  end('e')
  end('b')
  assert.deepEqual([await late, await all[1]], ['e', 'b'])
})

test('does nothing for those who have gone while they stood in line, and lets the next one in at once', async () => {
  const { begun, gone, ask, end } = createScene()
  const all = ['a', 'b', 'c', 'd', 'e', 'f'].map(ask)
  for (const name of ['a', 'c', 'd', 'f']) gone.add(name)
  end('b')
  assert.deepEqual(await Promise.all(all.slice(1, 4)), ['b', undefined, undefined])
  await soon()
  assert.deepEqual(begun, ['a', 'b', 'e'])
  end('a')
  end('e')
  assert.deepEqual(await Promise.all(all), ['a', 'b', undefined, undefined, 'e', undefined])
  assert.equal(await ask('f'), undefined, 'nor where a place is free')
})
