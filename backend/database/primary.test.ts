import assert from 'node:assert/strict'
import dns from 'node:dns'
import { after, before, describe, test, type TestContext } from 'node:test'
import { createTestLog } from '../../e2e/support/databases-under-test.ts'
import { createTestDatabase, type TestDatabase } from '../../e2e/support/test-database.ts'
import type { Database } from './database.ts'
import { DatabaseUnavailable } from './errors.ts'
import type { Mark } from './identity.ts'
import { connectPostgres } from './postgres.ts'

const log = createTestLog()
const sql = (text: string) => ({ text })
const READ_ONLY = { isReadOnly: true, lsn: '0/0' }

describe('connections to the primary', () => {
  let created: TestDatabase
  before(async () => (created = await createTestDatabase()))
  after(() => created.drop())
  const connect = async (t: TestContext, mark?: Mark) => {
    const database = await connectPostgres({ url: created.url, log, after: mark })
    t.after(() => database.close())
    return database
  }
  const epoch = async (database: Database) =>
    (await database.query<{ epoch: number }>(sql('SELECT epoch FROM livetally.origin')))[0]?.epoch ?? -1
  const markOf = async (database: Database): Promise<Mark> => {
    await database.query(sql('SELECT 1'))
    return database.mark ?? assert.fail('there is no mark')
  }

  test('begin a new epoch when the database has not come as far as it was seen, and only once', async (t) => {
    const mark = await markOf(await connect(t))
    assert.equal(mark.epoch, 0)
    assert.equal(await epoch(await connect(t, mark)), 0, 'it has come so far')
    const lost = { ...mark, lsn: 'FFFF/0' }
    const first = await epoch(await connect(t, lost))
    assert.ok(first > 0)
    assert.equal(await epoch(await connect(t, lost)), first, 'a mark that is played back is behind that epoch')
    const later = await epoch(await connect(t, { ...mark, epoch: first + 10, lsn: '0/1' }))
    assert.ok(later > first + 10, 'an epoch that was lost is not begun again')
    const elsewhere = await epoch(await connect(t, { ...mark, identity: 'another database', epoch: later, lsn: '0/1' }))
    assert.ok(elsewhere > later)
  })

  test('write down which database it is as the version before did, so that an upgrade alone begins no epoch', async (t) => {
    const database = await connect(t)
    const [row] = await database.query(
      sql(`SELECT concat_ws(':', s.system_identifier, c.timeline_id, d.oid, 'livetally.ballots'::regclass::oid) = o.identity AS same
        FROM pg_control_system() s, pg_control_checkpoint() c, pg_database d, livetally.origin o WHERE d.datname = current_database()`),
    )
    assert.deepEqual(row, { same: true })
  })

  test('are begun anew by all at once: there is one new epoch', async (t) => {
    const mark = await markOf(await connect(t))
    const lost = { ...mark, lsn: 'FFFF/0' }
    const epochs = await Promise.all(Array.from({ length: 6 }, async () => await epoch(await connect(t, lost))))
    assert.equal(new Set(epochs).size, 1)
    assert.ok((epochs[0] ?? 0) > mark.epoch)
  })

  test('are left together once the server takes no writes, and what is under way gets its answer', async (t) => {
    const database = await connect(t)
    const sessions = await Promise.all(['one', 'other'].map((label) => database.openSession({ label })))
    const [one, other] = sessions
    assert.ok(one !== undefined && other !== undefined)
    t.after(() => Promise.all(sessions.map((session) => session.close())))
    const underWay = other.query(sql('SELECT pg_sleep(0.1)'))
    await one.query(sql('SET default_transaction_read_only = on'))
    await assert.rejects(one.query(sql('DELETE FROM livetally.polls')), /read-only/)
    assert.deepEqual([one.lost, other.lost], [true, true])
    await underWay
    const fresh = await database.openSession({ label: 'fresh' })
    t.after(() => fresh.close())
    assert.equal(fresh.lost, false)
    assert.throws(() => fresh.observe(READ_ONLY), DatabaseUnavailable)
    assert.equal(fresh.lost, true)
  })

  test('look the name of the server up each time', async (t) => {
    const url = new URL(created.url)
    url.hostname = 'primary.example'
    let [address, asked] = ['127.0.0.1', 0]
    // Node itself calls it so, with any of its signatures
    const lookup = ((
      _name: string,
      _options: object,
      done: (error: null, found: { address: string; family: number }[]) => void,
    ) => {
      asked += 1
      done(null, [{ address, family: 4 }])
    }) as unknown as typeof dns.lookup
    t.mock.method(dns, 'lookup', lookup)
    const database = await connectPostgres({ url: url.href, log })
    t.after(() => database.close())
    address = '127.0.0.9'
    await assert.rejects(database.openSession({ label: 'nowhere' }), DatabaseUnavailable)
    const until = asked
    address = '127.0.0.1'
    await (await database.openSession({ label: 'found' })).close()
    assert.equal(asked, until + 1)
  })
})
