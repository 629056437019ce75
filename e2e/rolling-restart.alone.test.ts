import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runRollout, type RolloutOptions } from './rollout/rollout.ts'
import { drawRollout } from './rollout/svg.ts'
import { judge, type Verdict } from './rollout/verdict.ts'
import { calibrate } from './support/calibration.ts'

const OUT = fileURLToPath(new URL('../dist/rollout/', import.meta.url))

const NOTICE_MS = 2_500
/** As a gateway has it when nobody says otherwise. */
const SPREAD_MS = 10_000

test('nobody sees three gateways being replaced behind a balancer', { timeout: 480_000 }, async (t) => {
  const verdict = await replaceGateways(t, 'rollout', { clients: 2_000 })
  assertInvisible(verdict)
  assert.ok(
    verdict.largestHerd <= 0.15,
    `${(verdict.largestHerd * 100).toFixed(1)} % of a gateway's sockets arrived at one within 250 ms`,
  )
})

test('nor while two other processes keep the cores busy', { timeout: 480_000 }, async (t) => {
  assertInvisible(await replaceGateways(t, 'rollout-busy', { clients: 1_000, burners: 2 }))
})

/** Runs the rollout with so many clients, or fewer on a slower machine, and writes down what they saw. */
async function replaceGateways(
  t: TestContext,
  name: string,
  { clients: most, ...options }: Pick<RolloutOptions, 'clients' | 'burners'>,
): Promise<Verdict> {
  // the balancer, six gateways, the databases and the whole audience share this machine: a slower one gets a smaller audience
  const { slowness } = await calibrate()
  const clients = Math.max(100, Math.round(most / slowness))
  t.diagnostic(`this machine is ${slowness.toFixed(1)} times slower than the one the bounds are for: ${clients} clients`)
  const record = await runRollout({
    ...options,
    gateways: 3,
    clients,
    plain: Math.round(clients / 10),
    rate: 6,
    noticeMs: NOTICE_MS,
    spreadMs: SPREAD_MS,
    onProgress: (line) => t.diagnostic(line),
  })
  const verdict = judge(record)
  mkdirSync(OUT, { recursive: true })
  writeFileSync(`${OUT}${name}.json`, JSON.stringify(verdict, undefined, 2))
  writeFileSync(`${OUT}${name}.svg`, drawRollout(record, verdict))
  t.diagnostic(`longest silence ${verdict.longestSilenceMs} ms, lag p50/p99 ${verdict.lagMs.p50}/${verdict.lagMs.p99} ms`)
  t.diagnostic(`longest gap ${verdict.longestGapMs} ms, largest herd ${(verdict.largestHerd * 100).toFixed(1)} %`)
  t.diagnostic(`left after ${verdict.exits.map(({ tookMs }) => `${tookMs} ms`).join(', ')}`)
  assert.equal(verdict.clients, clients)
  return verdict
}

function assertInvisible(verdict: Verdict): void {
  assert.ok(verdict.versionsPublished > 200, `only ${verdict.versionsPublished} versions were published`)
  assert.equal(verdict.clientsWithGap, 0, `a gap of up to ${verdict.longestGapMs} ms without an open, live socket`)
  assert.deepEqual(verdict.otherStates, [], 'every client stayed live')
  assert.equal(verdict.clientsBehind, 0, 'every published version, or a newer one, was seen')
  assert.equal(verdict.backwards, 0, 'no client ever went backwards')
  assert.deepEqual(Object.keys(verdict.plainCloseCodes), ['1012'], 'plain sockets were told to come back')
  assert.deepEqual(
    verdict.exits.map(({ code }) => code),
    [0, 0, 0],
  )
  for (const { slot, tookMs } of verdict.exits) assert.ok(tookMs < verdict.deadlineMs, `${slot} took ${tookMs} ms`)
  assert.deepEqual(verdict.httpFailures, [])
}
