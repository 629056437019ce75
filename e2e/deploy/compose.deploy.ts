import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { judge } from '../rollout/verdict.ts'
import { freePort } from '../support/free-port.ts'
import { run } from '../support/run.ts'
import { gatherCrowd } from '../rollout/gather-crowd.ts'
import { listenIn, startVoters } from './audience.ts'
import { chooseBalancer, containers, docker, ROOT } from './engine.ts'
import { openPoll, POLL, totalVotes, untilServed } from './organiser.ts'
import { writeLog, writeReport } from './report.ts'

const PROJECT = 'livetally-deploy-test'
const CLIENTS = 500
const SPREAD_MS = 4_000

describe('Compose', { timeout: 600_000 }, async () => {
  const balancer = await chooseBalancer()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const files = balancer === 'traefik' ? [] : ['--file', 'infra/haproxy/compose.yaml']
  const env = {
    ...process.env,
    LIVETALLY_PORT: String(port),
    LIVETALLY_IMAGE: 'livetally:deploy-test',
    DRAIN_SPREAD_MS: String(SPREAD_MS),
  }
  const compose = (...args: string[]) =>
    run('docker', ['compose', '--project-name', PROJECT, '--file', 'compose.yaml', ...files, ...args], { cwd: ROOT, env })
  const scale = (gateways: number) =>
    compose('up', '--detach', '--no-build', '--wait', '--no-recreate', '--scale', `gateway=${gateways}`)
  const ofService = (service: string) => containers(`com.docker.compose.service=${service}`)

  before(async () => {
    await compose('down', '--volumes', '--remove-orphans')
    await compose('up', '--detach', '--build', '--wait', '--scale', 'gateway=1')
    await untilServed(url)
    const [backend = ''] = await ofService('backend')
    await openPoll(url, await docker('exec', backend, 'cat', '/run/secrets/livetally/admin-token'))
  })
  after(async () => {
    await writeLog('compose', await compose('logs', '--timestamps', '--no-color'))
    await compose('down', '--volumes', '--remove-orphans')
  })

  test(`a vote is seen through ${balancer}`, async () => {
    const voters = startVoters(url, POLL, 20)
    await delay(500)
    await voters.stop()
    assert.deepEqual(voters.http.failures, [])
    assert.equal(await totalVotes(url), voters.acknowledged)
  })

  test('one gateway becomes three and two again under live clients, and none of them notices', async (t) => {
    const [redis = ''] = await ofService('redis')
    const published = await listenIn(redis)
    await using crowd = await gatherCrowd({ url, poll: POLL, clients: CLIENTS, plain: 0 })
    const startedAt = Date.now()
    const votesBefore = await totalVotes(url)
    const voters = startVoters(url, POLL, 50)
    await delay(1_000)
    await scale(3)
    await delay(3_000)
    const signalledAt = Date.now()
    await scale(2)
    const exitedAt = Date.now()
    await delay(2_000)
    await voters.stop()
    await delay(1_000) // the last tallies arrive
    const endedAt = Date.now()
    await published.stop()
    const record = {
      startedAt,
      endedAt,
      deadlineMs: 25_000,
      clients: await crowd.report(),
      samples: crowd.samples,
      replacements: [{ slot: 'one of three', signalledAt, exitedAt, exitCode: 0 }],
      published: published.versions,
      http: voters.http,
      votesAcknowledged: voters.acknowledged,
    }
    const verdict = judge(record)
    t.diagnostic(await writeReport('compose', { balancer, ...verdict }, record, verdict))
    assert.deepEqual(verdict.httpFailures, [])
    assert.equal(verdict.clientsWithGap, 0, `the longest gap was ${verdict.longestGapMs} ms`)
    assert.equal(verdict.clientsBehind, 0)
    assert.equal(verdict.backwards, 0)
    assert.deepEqual(verdict.otherStates, [])
    assert.equal((await totalVotes(url)) - votesBefore, voters.acknowledged)
  })

  test('a gateway is process 1, writes nowhere, runs as nobody in particular, and leaves with 0 when told to', async () => {
    const [gateway = ''] = await ofService('gateway')
    assert.equal(await docker('exec', gateway, 'cat', '/proc/1/cmdline'), 'node\0gateway/main.ts\0'.trim())
    assert.equal(await docker('exec', gateway, 'id', '-u'), '10001')
    await assert.rejects(docker('exec', gateway, 'touch', '/app/a-file'), /Read-only file system/)
    await docker('stop', '--time', '35', gateway)
    assert.equal(await docker('inspect', '--format', '{{.State.ExitCode}}', gateway), '0')
  })
})
