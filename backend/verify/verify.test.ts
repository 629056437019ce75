import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { createMemoryBus } from '../../shared/bus/memory-bus.ts'
import { adopt } from '../adopt/adopt.ts'
import { createBallotBox } from '../ballots/ballot-box.ts'
import { onEachDatabase } from '../../e2e/support/databases-under-test.ts'
import { createPollStore } from '../polls/poll-store.ts'
import { createTallyReader } from '../tallies/tally-reader.ts'
import { verifyReport } from './report.ts'
import { repair, verify } from './verify.ts'

const sql = (text: string) => ({ text })

onEachDatabase('verifying', (use, kind) => {
  const pollWithVotes = async () => {
    const { database, createPoll } = use()
    const poll = await createPoll()
    await database.query(
      sql(`INSERT INTO livetally.ballots (poll_id, voter_id, option)
        SELECT $1, gen_random_uuid(), CASE WHEN i % 3 = 0 THEN 'cats' ELSE 'dogs' END FROM generate_series(1, 30) i`),
      [poll.id],
    )
    return poll
  }
  /** Makes the counters wrong. */
  const falsify = async (id: number) => {
    await use().database.query(sql("UPDATE livetally.counters SET n = n + 7 WHERE poll_id = $1 AND option = 'cats'"), [id])
  }

  test('finds nothing where all is well, and says so', async () => {
    const { slug } = await pollWithVotes()
    const [verified] = await verify({ database: use().database, slugs: [slug] })
    assert.deepEqual(verified?.options, [
      { option: 'cats', ballots: 10, counted: 10 },
      { option: 'dogs', ballots: 20, counted: 20 },
    ])
    assert.ok(verified.ok)
    assert.match(verifyReport([verified]), /every ballot counted once/)
  })

  test('finds a wrong counter, also of an option that is no longer offered, and repairs it in a new epoch', async () => {
    const { database } = use()
    const { id, slug } = await pollWithVotes()
    await falsify(id)
    await database.query(sql(`UPDATE livetally.polls SET options = '[{"id": "dogs", "label": "Dogs"}]' WHERE id = $1`), [id])
    const [wrong] = await verify({ database, slugs: [slug] })
    assert.deepEqual(wrong?.options.at(-1), { option: 'cats', ballots: 10, counted: 17 })
    assert.ok(!wrong.ok)
    assert.match(verifyReport([wrong]), /\+7/)
    assert.deepEqual(await repair({ database, slugs: [slug] }), [slug])
    const [right] = await verify({ database, slugs: [slug] })
    assert.ok(right?.ok)
    assert.deepEqual([right.epoch, right.version > wrong.version], [2, true])
    assert.deepEqual(await repair({ database, slugs: [slug] }), [])
  })

  test('finds counters of ballots that vanished unseen by the triggers', async () => {
    const { database } = use()
    const { id, slug } = await pollWithVotes()
    await database.withTransaction(async (transaction) => {
      await transaction.query(sql('SET LOCAL session_replication_role = replica'))
      await transaction.query(sql("DELETE FROM livetally.ballots WHERE poll_id = $1 AND option = 'dogs'"), [id])
    })
    assert.equal((await verify({ database, slugs: [slug] }))[0]?.ok, false)
    await repair({ database })
    assert.deepEqual((await verify({ database, slugs: [slug] }))[0]?.options, [
      { option: 'cats', ballots: 10, counted: 10 },
      { option: 'dogs', ballots: 0, counted: 0 },
    ])
  })

  test('says that a table or a column is gone, leaves its last counts, and still verifies every other poll', async () => {
    const { database, createPoll } = use()
    const { slug } = await pollWithVotes()
    await database.query(sql('CREATE TABLE dropped (choice text)'))
    await database.query(sql('CREATE TABLE renamed (choice text)'))
    await database.query(sql('CREATE TABLE narrowed (choice text, remark text)'))
    const gone: string[] = []
    for (const table of ['dropped', 'renamed', 'narrowed']) {
      const poll = await createPoll()
      await adopt(database, { table, optionColumn: 'choice', slug: poll.slug })
      await database.query(sql(`INSERT INTO ${table} VALUES ('cats')`))
      gone.push(poll.slug)
    }
    await database.query(sql('DROP TABLE dropped'))
    await database.query(sql('ALTER TABLE renamed RENAME TO moved'))
    await database.query(sql('ALTER TABLE narrowed DROP COLUMN choice'))
    assert.deepEqual(await repair({ database }), [])
    const verified = await verify({ database })
    for (const one of gone) {
      const found = verified.find((poll) => poll.slug === one)
      assert.match(found?.goneSource ?? '', /^public\.(dropped|renamed|narrowed)$/)
      assert.equal(found?.ok, false)
      assert.ok(verifyReport(verified).includes(`${one} counts ${found?.goneSource}, which is gone`))
      assert.deepEqual(verified.find((poll) => poll.slug === one)?.options[0], { option: 'cats', ballots: 0, counted: 1 })
    }
    assert.ok(verified.find((poll) => poll.slug === slug)?.ok)
    for (const one of gone) await createPollStore(database).remove(one)
  })

  test('compares with what was published last', async () => {
    const { database } = use()
    const { id, slug } = await pollWithVotes()
    const bus = createMemoryBus({ now: Date.now })
    const store = createTallyReader(database)
    const published = async () => (await verify({ database, bus, slugs: [slug], publishMs: 0 }))[0]
    assert.equal((await published())?.published, 'behind')
    const snapshot = await store.read(slug)
    assert.ok(snapshot !== undefined)
    await bus.admit(snapshot)
    assert.deepEqual([(await published())?.published, (await published())?.ok], ['same', true])
    await database.query(sql('INSERT INTO livetally.ballots VALUES ($1, $2, $3)'), [id, randomUUID(), 'cats'])
    assert.equal((await published())?.published, 'behind')
    const { tally } = (await store.read(slug)) ?? snapshot
    await bus.admit({ ...snapshot, tally: { ...tally, total: tally.total + 1 } })
    assert.equal((await published())?.published, 'different')
    // as after the database was set back: the bus holds a version that it has not reached
    await bus.admit({ ...snapshot, tally: { ...tally, epoch: 4 } })
    assert.deepEqual([(await published())?.published, (await published())?.ok], ['ahead', false])
    assert.deepEqual(await repair({ database, bus, slugs: [slug] }), [slug])
    assert.equal((await store.read(slug))?.tally.epoch, 5)
    await store.close()
  })

  test('takes no notice of votes that come in while it counts, and a repair loses none of them', async () => {
    const { database, log } = use()
    const { id, slug } = await pollWithVotes()
    const box = createBallotBox({ database, log, now: Date.now })
    let voting = true
    const voters = Promise.all(
      Array.from({ length: 16 }, async () => {
        while (voting) await box.cast({ slug: slug, voter: randomUUID(), option: 'cats', order: 1 })
      }),
    )
    for (let round = 0; round < 5; round++) {
      assert.ok((await verify({ database, slugs: [slug] }))[0]?.ok)
      // in a slot that no writer uses: an update of the writers' rows would make this test wait for them
      await database.query(
        sql(`INSERT INTO livetally.counters VALUES ($1, 'cats', 90, 5, 1, pg_current_xact_id(), now())
          ON CONFLICT (poll_id, option, slot) DO UPDATE SET n = livetally.counters.n + 5`),
        [id],
      )
      const repaired = await Promise.all([repair({ database, slugs: [slug] }), repair({ database, slugs: [slug] })])
      assert.deepEqual(repaired.flat(), [slug], 'of two repairs at once the second finds nothing to do')
    }
    voting = false
    await voters
    await box.drain()
    assert.ok((await verify({ database, slugs: [slug] }))[0]?.ok)
  })

  if (kind === 'postgres') {
    test('keeps TRUNCATE waiting until a repair is done', async () => {
      const { database } = use()
      const { id, slug } = await pollWithVotes()
      await falsify(id)
      let truncated: Promise<unknown> | undefined
      const repaired = await repair({
        database,
        slugs: [slug],
        onProgress: () => {
          truncated ??= database.query(sql('TRUNCATE livetally.ballots'))
        },
      })
      await truncated
      assert.deepEqual(repaired, [slug])
      const [after] = await verify({ database, slugs: [slug] })
      assert.deepEqual(
        after?.options.map(({ counted }) => counted),
        [0, 0],
      )
    })
  }
})
