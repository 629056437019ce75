/** What Redis is worth where there is one gateway and one backend: how late screens are, and what it costs, with it and without. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { test, type TestContext } from 'node:test'
import { calibrate } from '../support/calibration.ts'
import { createVoter, startCluster, type Cluster } from '../support/cluster.ts'
import { startRedis } from '../support/redis-service.ts'
import { createTestDatabase } from '../support/test-database.ts'
import { watch, type Watcher } from '../support/watcher.ts'
import { recordRow } from './rows.ts'

const { slowness } = await calibrate()
const POLLS = Array.from({ length: 100 }, (_, index) => `poll-${index}`)
/** Polls that one socket follows. */
const PER_SOCKET = 10
const VOTES = 60
/** How long the processes are watched while nobody votes, in ms. */
const IDLE_MS = 10_000

/** The milliseconds of processor time that a process has used. */
async function cpuMs(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? []
  return 10 * (Number(fields[11]) + Number(fields[12]))
}

/** Casts votes one after the other; how long each took from its acknowledgement to the screen, in ms, sorted. */
async function lateness(gatewayUrl: string, screen: Watcher): Promise<number[]> {
  const poll = POLLS[0] ?? ''
  const late: number[] = []
  for (let votes = 0; votes < VOTES; votes += 1) {
    const before = screen.tallies.findLast((tally) => tally.poll === poll)?.total ?? 0
    const voter = await createVoter(gatewayUrl, poll)
    const answer = await voter.vote(gatewayUrl, 'yes')
    assert.equal(answer.status, 200)
    await answer.body?.cancel()
    const at = performance.now()
    await screen.until((frame) => frame.type === 'tally' && frame.poll === poll && frame.total > before)
    late.push(performance.now() - at)
    // not in step with what the gateway does
    await delay(100 * Math.random())
  }
  return late.toSorted((a, b) => a - b)
}

async function idleCpu({ gateways, backends }: Cluster): Promise<string> {
  const pids = [gateways[0]?.child.pid, backends[0]?.child.pid].map(Number)
  const before = await Promise.all(pids.map(cpuMs))
  await delay(IDLE_MS)
  const after = await Promise.all(pids.map(cpuMs))
  const [gateway = 0, backend = 0] = after.map((ms, index) => (ms - (before[index] ?? 0)) / IDLE_MS)
  return `gateway ${(100 * gateway).toFixed(1)} %, backend ${(100 * backend).toFixed(1)} % of a core`
}

test(
  'one gateway and one backend are late by milliseconds with Redis, and by half a second without',
  { timeout: 180_000 },
  async (t: TestContext) => {
    await using redis = await startRedis()
    await using database = await createTestDatabase()
    await using cluster = await startCluster({ servers: { databaseUrl: database.url, redisUrl: redis.url } })
    const [gateway] = cluster.gateways
    assert.ok(gateway !== undefined)
    for (const poll of POLLS) {
      const options = ['yes', 'no'].map((id) => ({ id, label: id }))
      assert.equal((await cluster.admin('POST', '/api/polls', { poll, question: 'Yes?', options })).status, 201)
    }
    const screens: Watcher[] = []
    for (let first = 0; first < POLLS.length; first += PER_SOCKET) {
      screens.push(await watch(gateway.url, POLLS.slice(first, first + PER_SOCKET)))
    }
    const [screen] = screens
    assert.ok(screen !== undefined)
    const describe = (late: readonly number[]) =>
      `median ${Math.round(late[VOTES / 2] ?? 0)} ms, 95 % ${Math.round(late[Math.floor(0.95 * VOTES)] ?? 0)} ms`
    const withRedis = await lateness(gateway.url, screen)
    t.diagnostic(`with Redis: ${describe(withRedis)}; idle: ${await idleCpu(cluster)}`)
    await redis.kill()
    await delay(2_000)
    const without = await lateness(gateway.url, screen)
    t.diagnostic(`without: ${describe(without)}; idle: ${await idleCpu(cluster)}`)
    assert.ok((withRedis[VOTES / 2] ?? Infinity) <= 60 * slowness)
    assert.ok((without.at(-1) ?? Infinity) <= 1_000 * slowness)
    for (const { frames } of screens) assert.ok(!frames.some((frame) => frame.type === 'alive' && (frame.silentMs ?? 0) > 0))
    recordRow({
      part: 'Redis',
      failure: 'it is away for good, with one gateway and one backend',
      votesPause: 'none',
      screens: `behind by ${describe(without)} (with Redis: ${describe(withRedis)}), live`,
      lost: 'nothing',
    })
    for (const each of screens) each.close()
  },
)
