/** The data layer of infra/compose/data-layer.yaml: each part of it dies under votes. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { freePort } from '../support/free-port.ts'
import { run } from '../support/run.ts'
import { watch, type Watcher } from '../support/watcher.ts'
import { startVoters } from './audience.ts'
import { chooseBalancer, ROOT } from './engine.ts'
import { openPoll, POLL, untilServed } from './organiser.ts'
import { writeLog } from './report.ts'

const PROJECT = 'livetally-data-layer-test'
/** Within this time everything is right again, on a machine that runs all of it on two cores. */
const RIGHT_MS = 30_000

describe('the data layer in Compose', { timeout: 600_000 }, async () => {
  const balancer = await chooseBalancer()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const files = [
    'compose.yaml',
    ...(balancer === 'traefik' ? [] : ['infra/haproxy/compose.yaml']),
    'infra/compose/data-layer.yaml',
  ]
  const env = {
    ...process.env,
    LIVETALLY_PORT: String(port),
    LIVETALLY_IMAGE: 'livetally:deploy-test',
    PGBOUNCER_IMAGE: 'livetally-pgbouncer:deploy-test',
  }
  const compose = (...args: string[]) =>
    run('docker', ['compose', '--project-name', PROJECT, ...files.flatMap((file) => ['--file', file]), ...args], {
      cwd: ROOT,
      env,
    })
  let cast = 0
  let screen: Watcher | undefined
  /** Votes until `work` is done and votes are acknowledged again; resolves to the longest time without one, in ms. */
  const voteDuring = async (work: () => Promise<unknown>) => {
    const voters = startVoters(url, POLL, 100)
    let seen = 0
    let lastAt = performance.now()
    let pauseMs = 0
    const look = setInterval(() => {
      if (voters.acknowledged === seen) return
      pauseMs = Math.max(pauseMs, performance.now() - lastAt)
      lastAt = performance.now()
      seen = voters.acknowledged
    }, 20)
    try {
      await delay(2_000)
      await work()
      const wanted = voters.acknowledged + 20
      const deadline = performance.now() + RIGHT_MS
      while (voters.acknowledged < wanted) {
        assert.ok(performance.now() < deadline, `votes are not acknowledged: ${voters.http.failures.at(-1)}`)
        await delay(50)
      }
    } finally {
      await voters.stop()
      clearInterval(look)
      cast += voters.acknowledged
    }
    // every acknowledged vote is there; one that was refused as not known may stand too
    await screen?.until((frame) => frame.type === 'tally' && frame.total >= cast)
    return pauseMs
  }

  before(async () => {
    await compose('down', '--volumes', '--remove-orphans')
    await compose('up', '--detach', '--build', '--wait', '--scale', 'gateway=1')
    await untilServed(url)
    await openPoll(url, await compose('exec', 'backend', 'cat', '/run/secrets/livetally/admin-token'))
    await compose('exec', 'postgres', 'sh', '/livetally/synchronous')
    screen = await watch(url, [POLL])
  })
  after(async () => {
    screen?.close()
    await writeLog('data-layer', await compose('logs', '--timestamps', '--no-color'))
    await compose('down', '--volumes', '--remove-orphans')
  })

  test('votes go through the pooler', async () => {
    await voteDuring(() => delay(500))
    const query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'livetally ballot box'"
    const password = 'PGPASSWORD=$(cat /run/secrets/livetally/postgres-password)'
    const psql = `${password} psql --no-align --tuples-only --host=127.0.0.1 --username=livetally --command="${query}"`
    assert.ok(Number(await compose('exec', 'postgres', 'sh', '-c', psql)) > 0)
  })

  test('the master of Redis dies: votes go on, and screens are right again with the next one', async (t) => {
    const pauseMs = await voteDuring(() => compose('kill', 'redis'))
    t.diagnostic(`the longest time without a vote: ${Math.round(pauseMs)} ms`)
  })

  test('the primary of Postgres dies and the standby takes its place: no vote is lost, and nothing is restarted', async (t) => {
    const pauseMs = await voteDuring(async () => {
      await compose('kill', 'postgres')
      await compose('exec', '--user', 'postgres', 'standby', 'pg_ctl', 'promote')
    })
    t.diagnostic(`the longest time without a vote: ${Math.round(pauseMs)} ms`)
    assert.equal(
      await compose('exec', 'backend', 'sh', '-c', 'node backend/verify/main.ts --all >/dev/null && echo clean'),
      'clean',
    )
  })

  test('a pooler dies: votes go on once it is back', async (t) => {
    const pauseMs = await voteDuring(async () => {
      await compose('kill', 'pgbouncer-standby')
      await compose('start', 'pgbouncer-standby')
    })
    t.diagnostic(`the longest time without a vote: ${Math.round(pauseMs)} ms`)
  })
})
