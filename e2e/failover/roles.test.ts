/** Two roles: the one that owns the tables, and the one that the backends run as, which may only read and write rows. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startChild } from '../support/child.ts'
import { ADMIN_TOKEN, COOKIE_SECRET, createVoter, startCluster, type Cluster } from '../support/cluster.ts'
import { ask } from '../support/postgres-standby.ts'
import { makeRoles, type Roles } from '../support/roles.ts'
import { watch } from '../support/watcher.ts'

const WAITS = { timeoutMs: 60_000 }

describe('a backend whose role may only read and write rows', () => {
  let cluster: Cluster
  let roles: Roles
  let gateway = ''
  before(async () => {
    cluster = await startCluster({ backends: 0, gateways: 0, asOwner: true })
    const made = await makeRoles(cluster.databaseUrl)
    if (made === undefined) throw new Error('the test needs a superuser, who may make roles')
    roles = made
  })
  after(async () => {
    await cluster[Symbol.asyncDispose]()
    await roles.drop()
  })
  const tool = async (entry: string, args: readonly string[], url: string) => {
    const { redis } = cluster
    const env = { DATABASE_URL: url, REDIS_URL: redis.url, REDIS_NAMESPACE: redis.namespace }
    await using child = startChild({ entry, args, env })
    const { code } = await child.exited
    return { code, said: child.lines.join('\n') + child.stderr }
  }
  const shows = async (poll: string, total: number) => {
    const screen = await watch(gateway, [poll])
    await screen.until((frame) => frame.type === 'tally' && frame.total === total)
    screen.close()
  }

  test('waits while there are no tables, says who makes them, and goes on when they are made', async () => {
    const { redis } = cluster
    const env = { PORT: '0', METRICS_PORT: '0', HOST: '127.0.0.1', ADMIN_TOKEN, COOKIE_SECRET, DATABASE_URL: roles.appUrl }
    await using waiting = startChild({
      entry: 'backend/main.ts',
      env: { ...env, REDIS_URL: redis.url, REDIS_NAMESPACE: redis.namespace },
    })
    const { reason } = await waiting.logged(({ msg }) => msg === 'cannot reach Postgres yet', WAITS)
    assert.match(
      String(reason),
      new RegExp(`the role "${roles.app}" may not do: run backend/migrate/main.ts .npm run migrate. as the role`),
    )
    assert.deepEqual(await tool('backend/migrate/main.ts', [], roles.ownerUrl), { code: 0, said: 'the tables are up to date' })
    const { port } = await waiting.logged(({ msg }) => msg === 'listening', WAITS)
    await waiting.answers(`http://127.0.0.1:${Number(port)}/ready`, WAITS)
    assert.equal((await tool('backend/migrate/main.ts', [], roles.ownerUrl)).code, 0)
  })

  test('takes votes, resets, tickets, the export and removal, and verify agrees', async () => {
    await cluster.startBackend({ DATABASE_URL: roles.appUrl })
    gateway = (await cluster.startGateway()).url
    const poll = { poll: 'mine', question: 'Which?', options: ['cats', 'dogs'].map((id) => ({ id, label: id })) }
    assert.equal((await cluster.admin('POST', '/api/polls', poll)).status, 201)
    const voters = await Promise.all(Array.from({ length: 5 }, () => createVoter(gateway, 'mine')))
    for (const option of ['cats', 'dogs']) {
      const answers = await Promise.all(voters.map((voter) => voter.vote(gateway, option)))
      assert.deepEqual(
        answers.map(({ status }) => status),
        [200, 200, 200, 200, 200],
      )
    }
    await shows('mine', 5)
    assert.equal((await cluster.admin('PATCH', '/api/polls/mine', { question: 'Which one?' })).status, 200)
    assert.equal((await cluster.admin('POST', '/api/polls/mine/reset', {})).status, 200)
    await voters[0]?.vote(gateway, 'cats')
    await shows('mine', 1)
    assert.equal((await cluster.admin('POST', '/api/polls', { ...poll, poll: 'tickets', policy: 'ticket' })).status, 201)
    assert.equal((await cluster.admin('POST', '/api/polls/tickets/tickets', { count: 3 })).status, 201)
    const headers = { authorization: `Bearer ${ADMIN_TOKEN}` }
    assert.match(await (await fetch(`${gateway}/api/polls/mine/export.csv`, { headers })).text(), /ballot,cats/)
    assert.equal((await cluster.admin('DELETE', '/api/polls/tickets', undefined)).status, 204)
    const verified = await tool('backend/verify/main.ts', ['--all'], roles.appUrl)
    assert.equal(verified.code, 0, verified.said)
  })

  test('counts the table of another program that the owner of both adopted, and removes that poll', async () => {
    await ask(
      cluster.databaseUrl,
      `CREATE TABLE votes (choice text); ALTER TABLE votes OWNER TO ${roles.owner}; INSERT INTO votes VALUES ('a')`,
    )
    const poll = { poll: 'adopted', question: 'Which?', options: ['a', 'b'].map((id) => ({ id, label: id })) }
    const source = { table: 'votes', optionColumn: 'choice' }
    const refused = await cluster.admin('POST', '/api/polls', { ...poll, source })
    assert.equal(refused.status, 422)
    assert.match(await refused.text(), /belongs to another database role/)
    const adopting = ['--table', 'votes', '--option-column', 'choice', '--poll', 'adopted', '--option', 'a', '--option', 'b']
    const adopted = await tool('backend/adopt/main.ts', adopting, roles.ownerUrl)
    assert.equal(adopted.code, 0, adopted.said)
    await ask(cluster.databaseUrl, "INSERT INTO votes VALUES ('a'), ('b')")
    await shows('adopted', 3)
    const blind = await tool('backend/verify/main.ts', ['--all'], roles.appUrl)
    assert.deepEqual([blind.code, /permission denied for table votes/.test(blind.said)], [2, true], blind.said)
    await ask(cluster.databaseUrl, `GRANT SELECT ON votes TO ${roles.app}`)
    const verified = await tool('backend/verify/main.ts', ['--all'], roles.appUrl)
    assert.equal(verified.code, 0, verified.said)
    assert.equal((await cluster.admin('DELETE', '/api/polls/adopted', undefined)).status, 204)
    assert.deepEqual(await ask(cluster.databaseUrl, "SELECT tgname FROM pg_trigger WHERE tgrelid = 'votes'::regclass"), [])
  })

  test('cannot do more', async () => {
    for (const statement of [
      'DROP TABLE livetally.ballots',
      'ALTER TABLE livetally.ballots DISABLE TRIGGER ALL',
      'TRUNCATE livetally.ballots',
      'CREATE TABLE livetally.more (n integer)',
      'CREATE SCHEMA more',
      'CREATE TABLE public.more (n integer)',
      "SET session_replication_role = 'replica'",
      'CREATE OR REPLACE FUNCTION livetally.take_slot() RETURNS void LANGUAGE sql AS $$ SELECT $$',
      'INSERT INTO votes VALUES (1)',
      `SET ROLE ${roles.owner}`,
    ]) {
      await assert.rejects(ask(roles.appUrl, statement), { code: '42501' }, statement)
    }
  })

  test('has the rights on what later versions bring, and says so when it lacks them', async () => {
    await ask(roles.ownerUrl, 'CREATE TABLE livetally.later (n integer)')
    assert.deepEqual(await ask(roles.appUrl, 'INSERT INTO livetally.later VALUES (1) RETURNING n'), [{ n: 1 }])
    await ask(roles.ownerUrl, `REVOKE INSERT ON livetally.later, livetally.polls FROM ${roles.app}`)
    const { redis } = cluster
    const env = { PORT: '0', METRICS_PORT: '0', ADMIN_TOKEN, COOKIE_SECRET, REDIS_URL: redis.url, DATABASE_URL: roles.appUrl }
    await using waiting = startChild({ entry: 'backend/main.ts', env })
    const { reason } = await waiting.logged(({ msg }) => msg === 'cannot reach Postgres yet', WAITS)
    assert.match(String(reason), /may not read and write livetally.later, livetally.polls: infra\/postgres\/roles.sql grants/)
    await ask(roles.ownerUrl, 'DROP TABLE livetally.later')
  })
})
