import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulateInProcess, simulateInWorkers } from './workers.ts'

/** How long the schedules may take: a slow machine runs fewer. */
const SECONDS = 12

test('a seed repeats bit for bit', async () => {
  const one = { seed: 7, schedules: 12, seconds: 60, maxFindings: 1 }
  const [first, second, other] = await Promise.all([
    simulateInProcess(one),
    simulateInProcess(one),
    simulateInProcess({ ...one, seed: 8 }),
  ])
  assert.equal(first.schedules, 12)
  assert.deepEqual(second, first)
  assert.notEqual(other.trace, first.trace)
})

test('no schedule of faults breaks a promise', { timeout: 120_000 }, async (t) => {
  const { findings, schedules, met } = await simulateInWorkers({ seed: 1, schedules: 2_000, seconds: SECONDS, maxFindings: 1 }, 2)
  t.diagnostic(`${schedules} schedules`)
  assert.deepEqual(
    findings.map(({ text }) => text),
    [],
  )
  assert.ok(schedules >= 4, `${schedules} schedules`)
  assert.ok(Object.keys(met).length > 0, 'faults have consequences')
})
