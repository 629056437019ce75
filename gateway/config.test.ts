import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Host } from '../shared/config/load.ts'
import { loadGatewayConfig } from './config.ts'

/** Loads the configuration with these variables; returns it, or the exit code and what was written. */
function loadAll(env: Record<string, string>) {
  const exited = new Error('exited')
  let [code, written] = [0, '']
  const host: Host = {
    argv: [],
    env: { REDIS_URL: 'redis://redis', BACKEND_URL: 'http://backend', ...env },
    stdout: { write: () => {} },
    stderr: { write: (text: string) => (written += text) },
    exit(given) {
      code = given
      throw exited
    },
  }
  try {
    return loadGatewayConfig(host)
  } catch (error) {
    if (error !== exited) throw error
    return { code, written }
  }
}
/** The same, but for the drain alone. */
function load(env: Record<string, string>) {
  const outcome = loadAll(env)
  return 'code' in outcome ? outcome : outcome.drain
}
const drain = (noticeMs: number, spreadMs: number, deadlineMs: number) => ({
  DRAIN_NOTICE_MS: String(noticeMs),
  DRAIN_SPREAD_MS: String(spreadMs),
  DRAIN_DEADLINE_MS: String(deadlineMs),
})

test('a deadline that leaves time to close the sockets is taken', () => {
  assert.deepEqual(load({}), { noticeMs: 5_000, spreadMs: 10_000, deadlineMs: 25_000 })
  for (const [noticeMs, spreadMs, deadlineMs] of [
    [5_000, 10_000, 22_000],
    [0, 300, 600],
    [0, 0, 100],
  ] as const) {
    assert.deepEqual(load(drain(noticeMs, spreadMs, deadlineMs)), { noticeMs, spreadMs, deadlineMs })
  }
})

test('a deadline before which not all sockets can be closed is refused, and the one that would do is named', () => {
  for (const [noticeMs, spreadMs, deadlineMs, enough] of [
    [5_000, 30_000, 25_000, 42_000],
    [5_000, 10_000, 21_999, 22_000],
    [25_000, 0, 25_000, 32_000],
    [0, 300, 599, 600],
  ] as const) {
    const outcome = load(drain(noticeMs, spreadMs, deadlineMs))
    assert.ok('code' in outcome, `${deadlineMs} is taken`)
    assert.equal(outcome.code, 2)
    assert.match(outcome.written, new RegExp(`DRAIN_DEADLINE_MS must be at least ${enough} `))
    assert.match(outcome.written, new RegExp(`DRAIN_NOTICE_MS is ${noticeMs} and DRAIN_SPREAD_MS is ${spreadMs}\\b`))
  }
})

test('unless it is said how many sockets one address gets, it gets half', () => {
  for (const [env, maxSocketsPerAddress] of [
    [{}, 10_000],
    [{ MAX_SOCKETS: '31' }, 16],
    [{ MAX_SOCKETS: '31', MAX_SOCKETS_PER_ADDRESS: '31' }, 31],
  ] as const) {
    const outcome = loadAll(env)
    assert.ok('edge' in outcome)
    assert.equal(outcome.edge.maxSocketsPerAddress, maxSocketsPerAddress)
  }
})
