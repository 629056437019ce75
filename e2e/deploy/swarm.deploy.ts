import assert from 'node:assert/strict'
import { after, before, describe, test, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { judge, type Verdict } from '../rollout/verdict.ts'
import { calibrate } from '../support/calibration.ts'
import { freePort } from '../support/free-port.ts'
import { run } from '../support/run.ts'
import { gatherCrowd } from '../rollout/gather-crowd.ts'
import { listenIn, startVoters } from './audience.ts'
import { watchDepartures } from './departures.ts'
import { buildImage, chooseBalancer, containers, docker, ROOT } from './engine.ts'
import { openPoll, POLL, totalVotes, untilServed } from './organiser.ts'
import { writeLog, writeReport } from './report.ts'

const STACK = 'livetally'
const [OLD, NEW, BROKEN] = ['livetally:deploy-test-1', 'livetally:deploy-test-2', 'livetally:deploy-test-broken']
const CLIENTS = 1_000
const PLAIN = 50
const ofService = (service: string) => containers(`com.docker.swarm.service.name=${STACK}_${service}`)

describe('Swarm', { timeout: 1_200_000 }, async () => {
  const balancer = await chooseBalancer()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const env = { ...process.env, LIVETALLY_PORT: String(port), LIVETALLY_IMAGE: OLD }
  const foundActive = (await docker('info', '--format', '{{.Swarm.LocalNodeState}}')) === 'active'

  before(async () => {
    await Promise.all([buildImage(OLD), buildImage(NEW)])
    await run('docker', ['buildx', 'build', '--load', '--quiet', '--tag', BROKEN, '-'], { cwd: ROOT, input: brokenImage() })
    if (!foundActive) await docker('swarm', 'init', '--advertise-addr', '127.0.0.1')
    assert.equal(
      await docker('stack', 'services', '--quiet', STACK).catch(() => ''),
      '',
      `there is a stack ${STACK} here already`,
    )
    await docker('node', 'update', '--label-add', 'livetally.data=true', await docker('node', 'ls', '--quiet'))
    const created = await run('infra/swarm/create-secrets', [], { cwd: ROOT })
    const files = ['infra/swarm/stack.yml', ...(balancer === 'traefik' ? [] : ['infra/haproxy/stack.yml'])]
    const stackFiles = files.flatMap((file) => ['--compose-file', file])
    await run('docker', ['stack', 'deploy', '--resolve-image', 'never', ...stackFiles, STACK], { cwd: ROOT, env })
    await untilServed(url, 120_000)
    await untilReplicas('backend', 2)
    await untilReplicas('gateway', 3)
    await openPoll(url, /admin token: (\S+)/.exec(created)?.[1] ?? '')
  })
  after(async () => {
    for (const service of ['gateway', 'backend', balancer]) {
      await writeLog(
        `swarm-${service}`,
        await docker('service', 'logs', '--timestamps', '--raw', `${STACK}_${service}`).catch(String),
      )
    }
    await docker('stack', 'rm', STACK).catch(() => '')
    await untilGone()
    await docker('volume', 'rm', '--force', `${STACK}_postgres`)
    const secrets = ['postgres-password', 'database-url', 'admin-token', 'cookie-secret'].map((name) => `livetally_${name}`)
    await docker('secret', 'rm', ...secrets).catch(() => '')
    if (!foundActive) await docker('swarm', 'leave', '--force')
  })

  test(`a deploy of backends and gateways through ${balancer} is invisible`, async (t) => {
    const departures = watchDepartures(`com.docker.swarm.service.name=${STACK}_gateway`)
    const verdict = await underLoad(t, 'swarm-update', departures.left, async () => {
      await update('backend', NEW)
      await update('gateway', NEW)
      await delay(20_000) // the last of the old gateways leaves after Swarm has called the update complete
    })
    await departures.stop()
    assertInvisible(verdict)
    assert.equal(departures.left.length, 3)
    for (const { slot, exitCode } of departures.left) assert.equal(exitCode, 0, slot)
    for (const service of ['backend', 'gateway']) assert.equal(await imageOf(service), NEW)
  })

  test('an image that never becomes healthy is rolled back, and no screen notices', async (t) => {
    const verdict = await underLoad(t, 'swarm-rollback', [], async () => {
      await update('gateway', BROKEN).catch(() => {}) // the client says that it was rolled back, and fails
      assert.equal(
        await docker('service', 'inspect', '--format', '{{.UpdateStatus.State}}', `${STACK}_gateway`),
        'rollback_completed',
      )
    })
    assertInvisible(verdict)
    assert.equal(await imageOf('gateway'), NEW)
  })

  test('after a gateway is killed outright its clients are live again within 3 s', async (t) => {
    // on the machine for which the bound is written down; a slower one gets as much more time
    const { slowness } = await calibrate()
    const boundMs = 3_000 * slowness
    const verdict = await underLoad(t, 'swarm-kill', [], async () => {
      const [gateway = ''] = await ofService('gateway')
      await docker('kill', '--signal', 'KILL', gateway)
      await delay(8_000 * slowness)
    })
    assert.ok(verdict.clientsWithGap > 0, 'nobody was connected to it')
    assert.ok(verdict.longestGapMs <= boundMs, `the longest gap was ${verdict.longestGapMs} ms, not ${Math.round(boundMs)}`)
    assert.equal(verdict.clientsBehind, 0)
    assert.equal(verdict.backwards, 0)
  })

  /** Does something to the stack while a thousand clients watch and a voter comes every 50 ms. */
  async function underLoad(
    t: TestContext,
    name: string,
    replacements: ReturnType<typeof watchDepartures>['left'],
    act: () => Promise<void>,
  ): Promise<Verdict> {
    const [redis = ''] = await ofService('redis')
    const published = await listenIn(redis)
    await using crowd = await gatherCrowd({ url, poll: POLL, clients: CLIENTS, plain: PLAIN })
    const votesBefore = await totalVotes(url)
    const startedAt = Date.now()
    const voters = startVoters(url, POLL, 50)
    await delay(2_000)
    await act()
    await delay(2_000)
    await voters.stop()
    await delay(1_000) // the last tallies arrive
    const endedAt = Date.now()
    await published.stop()
    const clients = await crowd.report()
    const { http, acknowledged: votesAcknowledged } = voters
    const { samples } = crowd
    const record = {
      startedAt,
      endedAt,
      deadlineMs: 25_000,
      clients,
      samples,
      replacements,
      published: published.versions,
      http,
      votesAcknowledged,
    }
    const verdict = judge(record)
    t.diagnostic(await writeReport(name, { balancer, ...verdict }, record, verdict))
    const counted = (await totalVotes(url)) - votesBefore
    // a vote whose answer was lost may count, one that was acknowledged must
    assert.ok(counted >= votesAcknowledged, `${votesAcknowledged} votes were acknowledged and ${counted} counted`)
    assert.ok(
      counted <= votesAcknowledged + http.failures.length,
      `${counted} votes counted, of ${votesAcknowledged} acknowledged`,
    )
    return verdict
  }

  function assertInvisible(verdict: Verdict): void {
    assert.deepEqual(verdict.httpFailures, [])
    assert.equal(verdict.clientsWithGap, 0, `the longest gap was ${verdict.longestGapMs} ms`)
    assert.equal(verdict.clientsBehind, 0)
    assert.equal(verdict.backwards, 0)
    assert.deepEqual(verdict.otherStates, [])
    assert.equal(verdict.plainCloseCodes[1006] ?? 0, 0, 'plain sockets were cut')
  }
})

/** Never healthy: it runs, and serves nothing. */
function brokenImage(): string {
  return `FROM ${OLD}\nCMD ["node", "-e", "setInterval(() => {}, 1000)"]\n`
}

/** As an operator does it; returns when Swarm calls the update complete, and throws when it was rolled back. */
async function update(service: string, image: string): Promise<void> {
  await docker('service', 'update', '--quiet', '--no-resolve-image', '--detach=false', '--image', image, `${STACK}_${service}`)
}

function imageOf(service: string): Promise<string> {
  return docker('service', 'inspect', '--format', '{{.Spec.TaskTemplate.ContainerSpec.Image}}', `${STACK}_${service}`)
}

async function untilReplicas(service: string, wanted: number): Promise<void> {
  const deadline = performance.now() + 120_000
  const running = () => docker('service', 'ls', '--filter', `name=${STACK}_${service}`, '--format', '{{.Replicas}}')
  while ((await running()) !== `${wanted}/${wanted}`) {
    if (performance.now() > deadline) throw new Error(`${service}: ${await running()} after two minutes`)
    await delay(500)
  }
}

/** Tasks of a removed stack still leave for a while, and hold on to its volume and secrets. */
async function untilGone(): Promise<void> {
  const deadline = performance.now() + 90_000
  while ((await containers(`com.docker.stack.namespace=${STACK}`)).length > 0 && performance.now() < deadline) await delay(500)
}
