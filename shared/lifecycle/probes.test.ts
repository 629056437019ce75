import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createPhase, type PhaseName } from './phase.ts'
import { createProbes, type Check, type CheckResult } from './probes.ts'

function setup({ at = 'ready', checks = [], loopDelayMs = 20 }: { at?: PhaseName; checks?: Check[]; loopDelayMs?: number } = {}) {
  const phase = createPhase()
  phase.advance(at)
  const probes = createProbes({
    phase,
    checks,
    loopDelayMs: () => loopDelayMs,
    now: () => 10_000,
    drainProgress: () => undefined,
  })
  return { phase, probes }
}

const check = (name: string, critical: boolean, result: CheckResult): Check => ({ name, critical, read: () => result })
const up: CheckResult = { ok: true, at: 9_000 }
const down: CheckResult = { ok: false, at: 4_000, error: 'refused' }

const table: [phase: PhaseName, live: number, ready: number, health: number][] = [
  ['starting', 200, 503, 503],
  ['ready', 200, 200, 200],
  ['draining', 200, 503, 200],
  ['stopped', 200, 503, 200],
]
for (const [at, live, ready, health] of table) {
  test(`while ${at}: /live ${live}, /ready ${ready}, /health ${health}`, () => {
    const { probes } = setup({ at })
    assert.deepEqual([probes.live().status, probes.ready().status, probes.health().status], [live, ready, health])
  })
}

test('a critical dependency that is down makes the service unready, and nothing else', () => {
  const { probes } = setup({ checks: [check('postgres', true, down)] })
  assert.deepEqual([probes.live().status, probes.ready().status, probes.health().status], [200, 503, 200])
  assert.deepEqual(probes.ready().body['checks'], { postgres: { ok: false, critical: true, ageMs: 6_000, error: 'refused' } })
})

test('another dependency that is down leaves it ready, and says degraded', () => {
  const { probes } = setup({ checks: [check('bus', false, down), check('postgres', true, up)] })
  assert.equal(probes.ready().status, 200)
  assert.equal(probes.ready().body['status'], 'degraded')
})

test('a stalled event loop fails liveness and health', () => {
  const { probes } = setup({ loopDelayMs: 5_000 })
  assert.deepEqual([probes.live().status, probes.health().status], [503, 503])
})
