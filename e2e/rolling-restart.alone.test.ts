import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { runRollout } from './rollout/rollout.ts'
import { drawRollout } from './rollout/svg.ts'
import { judge } from './rollout/verdict.ts'
import { calibrate } from './support/calibration.ts'

const OUT = fileURLToPath(new URL('../dist/rollout/', import.meta.url))

test('nobody sees three gateways being replaced behind a balancer', { timeout: 480_000 }, async (t) => {
  // the balancer, six gateways, the databases and the whole audience share this machine: a slower one gets a smaller audience
  const { slowness } = await calibrate()
  const clients = Math.max(100, Math.round(2_000 / slowness))
  t.diagnostic(`this machine is ${slowness.toFixed(1)} times slower than the one the bounds are for: ${clients} clients`)
  const record = await runRollout({
    gateways: 3,
    clients,
    plain: Math.round(clients / 10),
    rate: 6,
    // as a gateway has it when nobody says otherwise
    spreadMs: 10_000,
    onProgress: (line) => t.diagnostic(line),
  })
  const verdict = judge(record)
  mkdirSync(OUT, { recursive: true })
  writeFileSync(`${OUT}rollout.json`, JSON.stringify(verdict, undefined, 2))
  writeFileSync(`${OUT}rollout.svg`, drawRollout(record, verdict))
  t.diagnostic(`longest silence ${verdict.longestSilenceMs} ms, lag p50/p99 ${verdict.lagMs.p50}/${verdict.lagMs.p99} ms`)

  assert.equal(verdict.clients, clients)
  assert.ok(verdict.versionsPublished > 200, `only ${verdict.versionsPublished} versions were published`)
  assert.equal(verdict.clientsWithGap, 0, `a gap of up to ${verdict.longestGapMs} ms without an open, live socket`)
  assert.deepEqual(verdict.otherStates, [], 'every client stayed live')
  assert.equal(verdict.clientsBehind, 0, 'every published version, or a newer one, was seen')
  assert.equal(verdict.backwards, 0, 'no client ever went backwards')
  assert.deepEqual(Object.keys(verdict.plainCloseCodes), ['1012'], 'plain sockets were told to come back')
  assert.ok(
    verdict.largestHerd <= 0.15,
    `${(verdict.largestHerd * 100).toFixed(1)} % of a gateway's sockets arrived at one within 250 ms`,
  )
  assert.deepEqual(
    verdict.exits.map(({ code }) => code),
    [0, 0, 0],
  )
  for (const { slot, tookMs } of verdict.exits) assert.ok(tookMs < verdict.deadlineMs, `${slot} took ${tookMs} ms`)
  assert.deepEqual(verdict.httpFailures, [])
})
