import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { test } from 'node:test'
import type { FaultKind } from './chaos/fault-plan.ts'
import { runChaos } from './chaos/chaos.ts'

/** One of each sort, and short enough for a minute: `npm run chaos` has them all. */
const KINDS: readonly FaultKind[] = [
  'redis stalls',
  'redis cuts connections',
  'backend stalls',
  'postgres restarts',
  'gateway is replaced',
]

test('a minute of faults: no screen freezes or lies, no acknowledged vote is lost', { timeout: 170_000 }, async (t) => {
  const interrupted = new AbortController()
  t.signal.addEventListener('abort', () => interrupted.abort())
  const { report, text, directory } = await runChaos({
    seed: 13,
    minutes: 1,
    rate: 30,
    voters: 100,
    screens: 15,
    kinds: KINDS,
    signal: interrupted.signal,
    say: () => {},
  })
  assert.deepEqual(report.violations, [], `${text}\nThe ledger and the logs: ${directory}`)
  assert.ok(report.tallies > 1_000, `${report.tallies} tallies`)
  assert.ok(report.kinds.length >= 3, 'three kinds of faults at least')
  await rm(directory, { recursive: true })
})
