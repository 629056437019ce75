/** A dump is restored: screens go back to what it holds, under a new epoch. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { test } from 'node:test'
import type { Frame, TallyFrame } from '../../shared/protocol/frames.ts'
import { calibrate } from '../support/calibration.ts'
import { startChild } from '../support/child.ts'
import { createVoter, startCluster } from '../support/cluster.ts'
import { installedPostgres } from '../support/installed.ts'
import { ask } from '../support/postgres-standby.ts'
import { run } from '../support/run.ts'
import { watch } from '../support/watcher.ts'
import { recordRow } from './rows.ts'

const { slowness } = await calibrate()
const POLL = { poll: 'cats-or-dogs', question: 'Which?', options: ['cats', 'dogs'].map((id) => ({ id, label: id })) }

test('votes, a dump, more votes, a restore: screens show what the dump holds, in a new epoch, and verify agrees', async (t) => {
  const directory = await mkdtemp(join(tmpdir(), 'livetally-dump-'))
  t.after(() => rm(directory, { recursive: true }))
  await using cluster = await startCluster()
  const [backend, gateway] = [cluster.backends[0], cluster.gateways[0]]
  if (backend === undefined || gateway === undefined) throw new Error('there is no backend or no gateway')
  const { hostname, port, username, password, pathname } = new URL(cluster.databaseUrl)
  const database = pathname.slice(1)
  const env = {
    PATH: `${await installedPostgres()}${delimiter}${process.env['PATH']}`,
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: username,
    PGPASSWORD: password,
    PGDATABASE: database,
  }
  assert.equal((await cluster.admin('POST', '/api/polls', POLL)).status, 201)
  const screen = await watch(gateway.url, [POLL.poll])
  const shown = async (total: number, epoch = 0) =>
    await screen.until(
      (frame: Frame): frame is TallyFrame => frame.type === 'tally' && frame.total === total && frame.epoch > epoch,
    )
  const vote = async (option: string, times: number) => {
    for (let i = 0; i < times; i++) {
      const voter = await createVoter(gateway.url, POLL.poll)
      assert.equal((await voter.vote(gateway.url, option)).status, 200)
    }
  }

  await vote('cats', 6)
  await shown(6)
  const file = await run('infra/postgres/dump', [directory], { env })
  await vote('dogs', 4)
  const before = await shown(10)
  await assert.rejects(run('infra/postgres/restore-dump', [file], { env }), /has \d+ connections: stop the backends first/)

  await backend.child.stop()
  const stoppedAt = performance.now()
  const said = await run('infra/postgres/restore-dump', [file], { env })
  const [, kept = ''] = /what was there is (\S+)$/.exec(said) ?? []
  t.after(() => ask(cluster.databaseUrl, `DROP DATABASE IF EXISTS ${kept} WITH (FORCE)`).catch(() => {}))
  await cluster.startBackend({ PORT: new URL(backend.url).port })
  const after = await shown(6, before.epoch)
  const tookMs = performance.now() - stoppedAt
  assert.deepEqual(after.counts, { cats: 6, dogs: 0 })
  await vote('dogs', 1)
  await shown(7, before.epoch)
  screen.close()

  const { redis } = cluster
  await using verify = startChild({
    entry: 'backend/verify/main.ts',
    args: ['--all'],
    env: { DATABASE_URL: cluster.databaseUrl, REDIS_URL: redis.url, REDIS_NAMESPACE: redis.namespace },
  })
  assert.equal((await verify.exited).code, 0, verify.lines.join('\n') + verify.stderr)
  const kepts = new URL(cluster.databaseUrl)
  kepts.pathname = `/${kept}`
  assert.deepEqual(await ask(kepts.href, 'SELECT count(*) AS n FROM livetally.ballots'), [{ n: '10' }])
  await ask(cluster.databaseUrl, `DROP DATABASE ${kept}`)

  assert.ok(tookMs < 10_000 * slowness, `${tookMs} ms`)
  recordRow({
    part: 'Postgres',
    failure: 'restored from a dump, with the backends stopped meanwhile',
    votesPause: `${(tookMs / 1_000).toFixed(1)} s for a small database`,
    screens: 'the last tallies until it is done, then what the dump holds',
    lost: 'what came after the dump, under a new epoch',
  })
})
