/** A base backup and the archived log bring the server back to a point in time. */
import assert from 'node:assert/strict'
import { chown, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { test } from 'node:test'
import type { Frame, TallyFrame } from '../../shared/protocol/frames.ts'
import { calibrate } from '../support/calibration.ts'
import { startChild } from '../support/child.ts'
import { createVoter, startCluster } from '../support/cluster.ts'
import { installedPostgres } from '../support/installed.ts'
import { startPostgres } from '../support/postgres-service.ts'
import { ask } from '../support/postgres-standby.ts'
import { startRedis } from '../support/redis-service.ts'
import { run } from '../support/run.ts'
import { createServer } from '../support/server.ts'
import { unprivilegedUser } from '../support/unprivileged-user.ts'
import { watch } from '../support/watcher.ts'
import { recordRow } from './rows.ts'

const { slowness } = await calibrate()
const POLL = { poll: 'cats-or-dogs', question: 'Which?', options: ['cats', 'dogs'].map((id) => ({ id, label: id })) }

test('a server brought back to a point in time, under running backends: screens follow to what was there then', async (t) => {
  const programs = (await installedPostgres()) ?? ''
  const user = unprivilegedUser()
  const directory = await mkdtemp(join(tmpdir(), 'livetally-wal-'))
  t.after(() => rm(directory, { recursive: true }))
  const archive = join(directory, 'wal')
  await mkdir(archive)
  for (const path of user === undefined ? [] : [directory, archive]) await chown(path, user?.uid ?? 0, user?.gid ?? 0)
  await using redis = await startRedis()
  await using postgres = await startPostgres({
    settings: {
      wal_level: 'replica',
      max_wal_senders: '4',
      archive_mode: 'on',
      archive_command: `sh ${process.cwd()}/infra/postgres/archive-wal %p ${archive}/%f`,
    },
  })
  await using cluster = await startCluster({ backends: 2, servers: { databaseUrl: postgres.url, redisUrl: redis.url } })
  const [gateway] = cluster.gateways
  if (gateway === undefined) throw new Error('there is no gateway')
  const { hostname, port, username, password } = new URL(postgres.url)
  const env = {
    PATH: `${programs}${delimiter}${process.env['PATH']}`,
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: username,
    PGPASSWORD: password,
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

  await vote('cats', 5)
  const backup = await run('infra/postgres/base-backup', [directory], { env, ...user })
  await vote('cats', 7)
  await shown(12)
  await delay(100)
  const [moment] = await ask<{ at: string }>(postgres.url, 'SELECT clock_timestamp()::text AS at')
  await delay(100)
  await vote('dogs', 9)
  const before = await shown(21)

  await postgres.shutDown()
  const stoppedAt = performance.now()
  const data = join(directory, 'data')
  await run('infra/postgres/restore-base-backup', [backup, archive, data, moment?.at ?? ''], { env, ...user })
  await assert.rejects(run('infra/postgres/restore-base-backup', [backup, archive, data], { env, ...user }), /is not empty/)
  const restored = createServer({
    name: 'the restored server',
    command: join(programs, 'postgres'),
    args: [
      '-D',
      data,
      '-p',
      port,
      '-c',
      'listen_addresses=127.0.0.1',
      '-c',
      'unix_socket_directories=',
      '-c',
      'max_connections=300',
    ],
    cwd: directory,
    user,
    readyLine: /ready to accept connections/,
    discard: ['true'],
  })
  t.after(() => restored.discard('SIGQUIT'))
  await restored.start()
  const after = await shown(12, before.epoch)
  const tookMs = performance.now() - stoppedAt
  assert.deepEqual(after.counts, { cats: 12, dogs: 0 })
  await vote('dogs', 1)
  await shown(13, before.epoch)
  const versions = new Map<string, string>()
  for (const { epoch, version, counts } of screen.tallies) {
    const content = JSON.stringify(counts)
    assert.equal(versions.get(`${epoch} ${version}`) ?? content, content, 'one version has one content')
    versions.set(`${epoch} ${version}`, content)
  }
  screen.close()
  await using verify = startChild({
    entry: 'backend/verify/main.ts',
    args: ['--all'],
    env: { DATABASE_URL: postgres.url, REDIS_URL: redis.url },
  })
  assert.equal((await verify.exited).code, 0, verify.lines.join('\n') + verify.stderr)
  await cluster[Symbol.asyncDispose]()

  assert.ok(tookMs < 15_000 * slowness, `${tookMs} ms`)
  recordRow({
    part: 'Postgres',
    failure: 'brought back to a point in time from a base backup and the archived log, under running backends',
    votesPause: `${(tookMs / 1_000).toFixed(1)} s for a small database`,
    screens: 'the last tallies until it is done, then what was there at that time',
    lost: 'what came after that time, under a new epoch',
  })
})
