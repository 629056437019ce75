import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createTestLog, onEachDatabase } from '../../e2e/support/databases-under-test.ts'
import { createPollStore } from '../polls/poll-store.ts'
import { adopt, release } from './adopt.ts'
import { createSourceWatch } from './source-watch.ts'

const sql = (statement: string) => ({ text: statement })

onEachDatabase('the tables that polls count', (use) => {
  test('are said to be gone once each, and to be back; while they are there nothing is said', async (t) => {
    const { database, createPoll } = use()
    const log = createTestLog()
    const watch = createSourceWatch({ database, log, now: () => performance.now(), everyMs: 20 })
    const stop = new AbortController()
    const running = watch.run(stop.signal)
    t.after(async () => {
      stop.abort()
      await running
    })
    /** Resolves when the watch has looked at least once from now on. */
    const looked = async () => {
      const since = performance.now()
      while ((watch.health.at ?? 0) <= since) await new Promise((resolve) => setTimeout(resolve, 5))
      const next = watch.health.at ?? 0
      while (watch.health.at === next) await new Promise((resolve) => setTimeout(resolve, 5))
    }
    const adopted = async (table: string) => {
      await database.query(sql(`CREATE TABLE ${table} (choice text, remark text)`))
      const { slug } = await createPoll()
      assert.equal((await adopt(database, { table, optionColumn: 'choice', slug })).kind, 'adopted')
      return slug
    }
    const [dropped, made, renamed, narrowed, off] = [
      await adopted('dropped'),
      await adopted('made_anew'),
      await adopted('renamed'),
      await adopted('narrowed'),
      await adopted('switched_off'),
    ]
    await createPoll()
    await looked()
    assert.deepEqual([log.lines, watch.health.ok], [[], true])

    await database.query(sql('DROP TABLE dropped'))
    await database.query(sql('DROP TABLE made_anew'))
    await database.query(sql('CREATE TABLE made_anew (choice text)'))
    await database.query(sql('ALTER TABLE renamed RENAME TO moved'))
    await database.query(sql('ALTER TABLE narrowed DROP COLUMN choice'))
    await database.query(sql('ALTER TABLE switched_off DISABLE TRIGGER ALL'))
    await looked()
    const gone = [dropped, made, renamed, narrowed, off].map((slug) => watch.isGone(slug))
    assert.deepEqual(gone, [true, true, false, true, true], 'a table that was renamed is still counted')
    assert.match(watch.health.error ?? '', new RegExp(`${dropped}: the table public.dropped is gone`))
    assert.match(watch.health.error ?? '', new RegExp(`${made}: the table public.made_anew is not counted any more`))
    await looked()
    assert.equal(log.lines.filter((line) => /keeps its last count/.test(line)).length, 4)

    // repaired, released, removed, closed: each of them ends it
    assert.equal((await adopt(database, { table: 'made_anew', optionColumn: 'choice', slug: made })).kind, 'adopted')
    assert.equal((await release(database, off)).kind, 'released')
    await createPollStore(database).remove(narrowed)
    await createPollStore(database).edit(dropped, { state: 'closed' })
    await looked()
    assert.deepEqual([watch.health.ok, watch.health.error], [true, undefined], 'who closed the poll may drop the table')
    assert.ok(watch.isGone(dropped), 'and the poll still says so')
    assert.equal(log.lines.filter((line) => /has its table again/.test(line)).length, 3)
  })
})
