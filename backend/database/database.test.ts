import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { createTestDatabase } from '../../e2e/support/test-database.ts'
import { createTestLog, onEachDatabase } from '../../e2e/support/databases-under-test.ts'
import { DatabaseUnavailable, DataDirectoryInUse, isTransient, sqlState } from './errors.ts'
import { openPglite } from '../pglite/open.ts'
import { connectPostgres } from './postgres.ts'

const sql = (text: string) => ({ text })
const log = createTestLog()

/** Runs the lines in a process of its own, which imports the database module. */
function program(lines: string) {
  const [postgres, pglite] = ['./postgres.ts', '../pglite/open.ts'].map((file) => new URL(file, import.meta.url).href)
  const source = `import { connectPostgres } from '${postgres}'
    import { openPglite } from '${pglite}'
    const log = { debug() {}, info() {}, warn() {}, error() {}, child: () => log }
    ${lines}`
  return spawn('node', ['--input-type=module', '--eval', source], { stdio: ['ignore', 'pipe', 'inherit'] })
}

onEachDatabase('a database', (use, kind) => {
  test('commits what a transaction does, and undoes it when the work fails', async () => {
    const { database } = use()
    await database.query(sql('CREATE TABLE kept (n integer)'))
    assert.equal(
      await database.withTransaction(async (transaction) => {
        await transaction.query(sql('INSERT INTO kept VALUES ($1)'), [1])
        return 'done'
      }),
      'done',
    )
    await assert.rejects(
      database.withTransaction(async (transaction) => {
        await transaction.query(sql('INSERT INTO kept VALUES (2)'))
        await transaction.query(sql('SELECT 1 / 0'))
      }),
      (error) => sqlState(error) === '22012',
    )
    await assert.rejects(
      database.withTransaction(async (transaction) => {
        await transaction.query(sql('INSERT INTO kept VALUES (3)'))
        await transaction.query(sql('SELECT 1 / 0')).catch(() => {})
      }),
      /rolled back/,
    )
    assert.deepEqual(await database.query(sql('SELECT n FROM kept')), [{ n: 1 }])
  })

  test('is out of a transaction whose work failed for a reason of its own', async () => {
    const { database } = use()
    await assert.rejects(
      database.withTransaction(async (transaction) => {
        await transaction.query(sql('CREATE TABLE unkept (n integer)'))
        throw new Error('no more')
      }),
      /no more/,
    )
    assert.deepEqual(await database.query(sql("SELECT to_regclass('unkept') AS unkept")), [{ unkept: null }])
  })

  test('reads one snapshot in a repeatable transaction, however long it takes', async () => {
    const { database } = use()
    const read = await database.withTransaction(
      async (transaction) =>
        await transaction.query(sql("SELECT current_setting('transaction_isolation') AS isolation, pg_sleep(0.01)")),
      { isolation: 'repeatable read', unhurried: true },
    )
    assert.equal(JSON.stringify(read), '[{"isolation":"repeatable read","pg_sleep":""}]')
  })

  test('keeps its connections after failed statements', async () => {
    const { database } = use()
    for (let i = 0; i < 20; i++) {
      await assert.rejects(database.query(sql('SELECT nothing_like_it')))
      await assert.rejects(database.withTransaction(async (transaction) => await transaction.query(sql('SELECT 1 / 0'))))
    }
    assert.deepEqual(await database.query(sql('SELECT 1 AS one')), [{ one: 1 }])
  })

  if (kind === 'postgres') {
    test('survives the loss of every connection, in use or idle', async () => {
      const { database } = use()
      await assert.rejects(
        database.withTransaction(async (transaction) => {
          await transaction.query(sql('SELECT pg_terminate_backend(pg_backend_pid())'))
        }),
        isTransient,
      )
      const session = await database.openSession({ label: 'to be cut' })
      const [own] = await session.query<{ pid: number }>(sql('SELECT pg_backend_pid() AS pid'))
      await database.query(sql('SELECT pg_terminate_backend($1)'), [own?.pid])
      await assert.rejects(session.query(sql('SELECT pg_sleep(1)')))
      assert.ok(session.lost)
      await session.close()
      assert.deepEqual(await database.query(sql('SELECT 1 AS one')), [{ one: 1 }])
    })

    test('refuses at once what would wait behind thousands for a connection', async () => {
      const { database } = use()
      const statement = sql('SELECT pg_sleep(0.001)')
      const outcomes = await Promise.allSettled(Array.from({ length: 2_500 }, () => database.query(statement)))
      const faults = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as Error] : []))
      // on a busy machine others have waited for too long
      const refused = faults.filter(({ message }) => message.includes('2000 requests wait for a connection already'))
      assert.ok(refused.length >= 400, `${refused.length} were refused`)
      assert.ok(refused.every((error) => error instanceof DatabaseUnavailable))
      assert.equal((await database.query(statement)).length, 1)
    })

    test('limits how long a statement and a lock may take', async () => {
      const { database } = use()
      const session = await database.openSession({ label: 'short', statementTimeoutMs: 50 })
      await assert.rejects(session.query(sql('SELECT pg_sleep(5)')), (error) => sqlState(error) === '57014')
      assert.deepEqual(await session.query(sql('SHOW lock_timeout')), [{ lock_timeout: '1s' }])
      await session.close()
    })
  }
})

describe('connecting to Postgres', () => {
  test('brings an empty database up to date when eight replicas start at once', async () => {
    await using created = await createTestDatabase()
    const replicas = Array.from({ length: 4 }, () =>
      program(`const all = await Promise.all([1, 2].map(() => connectPostgres({ url: '${created.url}', log })))
        for (const database of all) await database.close()`),
    )
    const codes = await Promise.all(replicas.map(async (replica) => (await once(replica, 'exit'))[0]))
    assert.deepEqual(codes, [0, 0, 0, 0])
    const database = await connectPostgres({ url: created.url, log })
    const [row] = await database.query<{ applied: string }>(sql('SELECT count(*) AS applied FROM livetally.migrations'))
    assert.ok(Number(row?.applied) >= 2)
    await database.close()
  })

  test('does not make votes wait for a migration that waits for a long reader, and migrates once the reader is done', async () => {
    await using created = await createTestDatabase()
    const before = await connectPostgres({ url: created.url, log })
    const [reader, writer] = [await before.openSession({ label: 'reader' }), await before.openSession({ label: 'writer' })]
    // as an earlier version left it
    await writer.query(sql('ALTER TABLE livetally.ballots DROP COLUMN vote_order'))
    await writer.query(sql('ALTER TABLE livetally.origin DROP COLUMN epoch'))
    await writer.query(sql('DELETE FROM livetally.migrations WHERE id >= 5'))
    await reader.query(sql('BEGIN'))
    await reader.query(sql('SELECT count(*) FROM livetally.ballots'))
    let isTrying = true
    const migrating = assert.rejects(connectPostgres({ url: created.url, log }), /a long transaction holds them/)
    const tried = migrating.finally(() => (isTrying = false))
    let slowestMs = 0
    while (isTrying) {
      const startedAt = performance.now()
      await writer.query(sql('UPDATE livetally.ballots SET option = option WHERE false'))
      slowestMs = Math.max(slowestMs, performance.now() - startedAt)
    }
    await tried
    assert.ok(slowestMs < 2_000, `${slowestMs} ms`)
    await reader.query(sql('COMMIT'))
    const after = await connectPostgres({ url: created.url, log })
    await after.query(sql('SELECT vote_order FROM livetally.ballots'))
    await Promise.all([reader.close(), writer.close()])
    await Promise.all([before.close(), after.close()])
  })

  test('says that it cannot, when nobody answers', async () => {
    await assert.rejects(connectPostgres({ url: 'postgres://nobody@127.0.0.1:1/nothing', log }), DatabaseUnavailable)
  })
})

describe('opening PGlite', { timeout: 60_000 }, () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'livetally-data-'))
  test.after(() => rmSync(dataDir, { recursive: true, force: true }))

  test('keeps a second process out, and lets it in when the first was killed', async () => {
    const directory = join(dataDir, 'locked')
    const first = program(
      `await openPglite({ dataDir: ${JSON.stringify(directory)}, log, holder: 'the first' }); console.log('open')`,
    )
    await once(first.stdout, 'data')
    await assert.rejects(openPglite({ dataDir: directory, log }), (error) => {
      assert.ok(error instanceof DataDirectoryInUse)
      assert.match(error.message, /the first/)
      return true
    })
    first.kill('SIGKILL')
    await once(first, 'exit')
    const database = await openPglite({ dataDir: directory, log })
    await assert.rejects(openPglite({ dataDir: directory, log }), DataDirectoryInUse)
    await database.close()
    await (await openPglite({ dataDir: directory, log })).close()
  })

  test('finds what was written before it was closed, and starts over a first start that was cut short', async () => {
    const directory = join(dataDir, 'kept')
    mkdirSync(join(directory, 'cluster'), { recursive: true })
    writeFileSync(join(directory, 'cluster', 'PG_VERSION'), '18')
    const before = await openPglite({ dataDir: directory, log })
    await before.query(sql('CREATE TABLE kept AS SELECT 7 AS n'))
    await before.close()
    assert.ok(existsSync(join(directory, 'cluster.complete')))
    const after = await openPglite({ dataDir: directory, log })
    assert.deepEqual(await after.query(sql('SELECT n FROM kept')), [{ n: 7 }])
    await after.close()
  })
})
