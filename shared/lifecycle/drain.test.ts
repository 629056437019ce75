import assert from 'node:assert/strict'
import { test } from 'node:test'
import { drain, type DrainProgress, type Stage } from './drain.ts'
import { createManualClock } from '../../e2e/support/manual-clock.ts'

const forever = () => new Promise<void>(() => {})

test('stages run one after the other, in order', async () => {
  const clock = createManualClock()
  const order: string[] = []
  const slow = (name: string, ms: number): Stage => ({
    name,
    async run(signal) {
      order.push(`${name} starts`)
      await clock.wait(ms, signal)
      order.push(`${name} ends`)
    },
  })
  const done = drain({ stages: [slow('a', 100), slow('b', 50)], deadlineMs: 1_000, clock })
  await clock.advance(200)
  const report = await done
  assert.deepEqual(order, ['a starts', 'a ends', 'b starts', 'b ends'])
  assert.equal(report.clean, true)
  assert.deepEqual(
    report.stages.map(({ name, outcome, tookMs }) => [name, outcome, tookMs]),
    [
      ['a', 'done', 100],
      ['b', 'done', 50],
    ],
  )
})

test('a stage that fails is named, and the stages after it still run', async () => {
  const fault = new Error('no')
  const ran: string[] = []
  const report = await drain({
    stages: [
      { name: 'throws', run: () => Promise.reject(fault) },
      { name: 'throws at once', run: () => assert.fail('no') },
      { name: 'after', run: () => void ran.push('after') },
    ],
    deadlineMs: 1_000,
    clock: createManualClock(),
  })
  assert.equal(report.clean, false)
  assert.deepEqual(
    report.stages.map(({ outcome }) => outcome),
    ['failed', 'failed', 'done'],
  )
  assert.equal(report.stages[0]?.error, fault)
  assert.deepEqual(ran, ['after'])
})

test('a stage that hangs is aborted and left behind at its own deadline', async () => {
  const clock = createManualClock()
  let aborted = false
  const done = drain({
    stages: [
      {
        name: 'hangs',
        deadlineMs: 300,
        run(signal) {
          signal.addEventListener('abort', () => (aborted = true))
          return forever()
        },
      },
      { name: 'after', run: () => {} },
    ],
    deadlineMs: 10_000,
    clock,
  })
  await clock.advance(300)
  const report = await done
  assert.equal(aborted, true)
  assert.equal(report.tookMs, 300)
  assert.deepEqual(
    report.stages.map(({ name, outcome }) => [name, outcome]),
    [
      ['hangs', 'stuck'],
      ['after', 'done'],
    ],
  )
})

test('the total deadline holds even when every stage hangs, and each still had its turn', async () => {
  const clock = createManualClock()
  const turns: string[] = []
  const stage = (name: string): Stage => ({
    name,
    run() {
      turns.push(name)
      return forever()
    },
  })
  const done = drain({ stages: ['a', 'b', 'c', 'd'].map(stage), deadlineMs: 2_000, clock })
  await clock.advance(2_000)
  const report = await done
  assert.deepEqual(turns, ['a', 'b', 'c', 'd'])
  assert.ok(report.tookMs <= 2_000, `took ${report.tookMs} ms`)
  assert.ok(report.stages.every(({ outcome }) => outcome === 'stuck'))
})

test('a stage that gives up when told to counts as stuck, not as failed', async () => {
  const clock = createManualClock()
  const done = drain({
    stages: [
      {
        name: 'gives up',
        deadlineMs: 100,
        run: (signal) => new Promise((_, reject) => signal.addEventListener('abort', () => reject(new Error('gave up')))),
      },
    ],
    deadlineMs: 1_000,
    clock,
  })
  await clock.advance(100)
  assert.equal((await done).stages[0]?.outcome, 'stuck')
})

test('progress names the stage that runs and those that have ended', async () => {
  const seen: DrainProgress[] = []
  await drain({
    stages: [
      { name: 'a', run: () => {} },
      { name: 'b', run: () => {} },
    ],
    deadlineMs: 1_000,
    clock: createManualClock(),
    onProgress: ({ stage, finished }) => void seen.push({ stage, finished: [...finished] }),
  })
  assert.deepEqual(
    seen.map(({ stage, finished }) => [stage, finished.map(({ name }) => name)]),
    [
      ['a', []],
      ['b', ['a']],
      [undefined, ['a', 'b']],
    ],
  )
})
