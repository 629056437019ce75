/** Backups in Compose, with infra/compose/backup.yaml: a dump and back, and a base backup and back to a moment. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { createVoter } from '../support/cluster.ts'
import { freePort } from '../support/free-port.ts'
import { run } from '../support/run.ts'
import { chooseBalancer, docker, ROOT } from './engine.ts'
import { openPoll, POLL, totalVotes, untilServed } from './organiser.ts'
import { writeLog } from './report.ts'

const PROJECT = 'livetally-backup-test'

describe('backups in Compose', { timeout: 600_000 }, async () => {
  const balancer = await chooseBalancer()
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const files = ['compose.yaml', ...(balancer === 'traefik' ? [] : ['infra/haproxy/compose.yaml']), 'infra/compose/backup.yaml']
  const env: NodeJS.ProcessEnv = { ...process.env, LIVETALLY_PORT: String(port), LIVETALLY_IMAGE: 'livetally:deploy-test' }
  const compose = (...args: string[]) =>
    run('docker', ['compose', '--project-name', PROJECT, ...files.flatMap((file) => ['--file', file]), ...args], {
      cwd: ROOT,
      env,
    })
  const start = () => compose('up', '--detach', '--no-build', '--wait', '--scale', 'gateway=1')
  const vote = async (times: number) => {
    for (let i = 0; i < times; i++) {
      let voter = await createVoter(url, POLL)
      // seen twice in five runs, just after a tool's container had started: one read was answered 503, "The database does not answer"
      for (let tries = 0; voter.cookie === '' && tries < 10; tries++) {
        await delay(500)
        voter = await createVoter(url, POLL)
      }
      assert.equal((await voter.vote(url, 'cats')).status, 200)
    }
  }
  const epoch = async () => {
    const { tally } = (await (await fetch(`${url}/api/polls/${POLL}`)).json()) as { tally: { epoch: number } }
    return tally.epoch
  }

  before(async () => {
    await compose('down', '--volumes', '--remove-orphans')
    await compose('up', '--detach', '--build', '--wait', '--scale', 'gateway=1')
    await untilServed(url)
    await openPoll(url, await compose('exec', 'backend', 'cat', '/run/secrets/livetally/admin-token'))
  })
  after(async () => {
    await writeLog('backup', await compose('logs', '--timestamps', '--no-color'))
    await compose('down', '--volumes', '--remove-orphans')
    await docker('volume', 'rm', '--force', `${PROJECT}_postgres`)
  })

  test('a dump brings back what it holds', async () => {
    await vote(5)
    const file = await compose('run', '--rm', 'dump')
    await vote(3)
    const earlier = await epoch()
    await assert.rejects(compose('run', '--rm', 'restore-dump', file), /stop the backends first/)
    await compose('stop', 'backend')
    await compose('run', '--rm', 'restore-dump', file)
    await start()
    assert.equal(await totalVotes(url), 5)
    assert.ok((await epoch()) > earlier)
  })

  test('a base backup and the archived log bring back any moment, in a new volume', async () => {
    const copy = await compose('run', '--rm', 'base-backup')
    await vote(4)
    await delay(1_500)
    const moment = new Date().toISOString()
    await delay(1_500)
    await vote(2)
    const earlier = await epoch()
    await compose('rm', '--stop', '--force', 'postgres')
    env['POSTGRES_VOLUME'] = `${PROJECT}_postgres_2`
    await compose('run', '--rm', '--no-deps', 'restore-base-backup', copy, moment)
    await start()
    await untilServed(url)
    assert.equal(await totalVotes(url), 9)
    assert.ok((await epoch()) > earlier)
    await vote(1)
    assert.equal(await totalVotes(url), 10)
  })
})
