import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { createAnnouncer } from './announcer.ts'

function listen(t: TestContext) {
  t.mock.timers.enable({ apis: ['setTimeout', 'Date'], now: 1_000_000 })
  const said: string[] = []
  const ended = new AbortController()
  const announce = createAnnouncer({ say: (text) => said.push(text), intervalMs: 10_000, signal: ended.signal })
  return { said, announce, ended, tick: (ms: number) => t.mock.timers.tick(ms) }
}

test('the first is said at once; of those that follow, the newest when the interval is over', (t) => {
  const { said, announce, tick } = listen(t)
  announce('one', 'open')
  announce('two', 'open')
  announce('three', 'open')
  assert.deepEqual(said, ['one'])
  tick(9_999)
  assert.deepEqual(said, ['one'])
  tick(1)
  assert.deepEqual(said, ['one', 'three'])
})

test('nothing is said twice', (t) => {
  const { said, announce, tick } = listen(t)
  announce('one', 'open')
  announce('two', 'open')
  announce('one', 'open')
  tick(60_000)
  assert.deepEqual(said, ['one'])
})

test('the end of a poll does not wait', (t) => {
  const { said, announce } = listen(t)
  announce('one', 'open')
  announce('two', 'closed')
  assert.deepEqual(said, ['one', 'two'])
})

test('after its end it is silent', (t) => {
  const { said, announce, ended, tick } = listen(t)
  announce('one', 'open')
  announce('two', 'open')
  ended.abort()
  tick(60_000)
  assert.deepEqual(said, ['one'])
})
