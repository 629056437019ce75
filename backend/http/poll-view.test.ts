import assert from 'node:assert/strict'
import { test } from 'node:test'
import { onEachDatabase } from '../../e2e/support/databases-under-test.ts'
import type { Database } from '../database/database.ts'
import { createPollStore } from '../polls/poll-store.ts'
import { createPollViews, HISTORY_KEPT_MS } from './poll-view.ts'

/** The database, and the names of the statements that it was given. */
function watched(database: Database) {
  const statements: (string | undefined)[] = []
  const query: Database['query'] = (statement, values) => {
    statements.push(statement.name)
    return database.query(statement, values)
  }
  return { database: { ...database, query }, statements }
}

onEachDatabase('poll views', (use) => {
  test('a crowd that reads polls, known and unknown ones, costs two queries', async () => {
    const { slug } = await use().createPoll()
    const { database, statements } = watched(use().database)
    const views = createPollViews({ database, now: () => 0 })
    const asked = Array.from({ length: 3_000 }, (_, index) => (index % 3 === 0 ? slug : `nobody-knows-${index % 16}`))
    const read = await Promise.all(asked.map(async (name) => (await views.read(name))?.tally.poll))
    assert.deepEqual(
      read,
      asked.map((name) => (name === slug ? slug : undefined)),
    )
    assert.deepEqual(statements, ['polls by slug', 'polls by slug'])
  })

  test('a poll is read as it is now: created, edited, reset and removed by whomever', async () => {
    const polls = createPollStore(use().database)
    const views = createPollViews({ database: use().database, now: () => 0 })
    const slug = 'of-the-moment'
    assert.equal(await views.read(slug), undefined)
    await use().createPoll({ slug })
    const created = await views.read(slug)
    assert.deepEqual(created?.settings, { changeAllowed: true, visibility: 'live', policy: 'cookie' })
    await polls.edit(slug, { question: 'Tea or coffee?', changeAllowed: false })
    const edited = await views.read(slug)
    assert.equal(edited?.poll.question, 'Tea or coffee?')
    assert.equal(edited?.settings.changeAllowed, false)
    await polls.reset(slug)
    assert.equal((await views.read(slug))?.tally.epoch, (created?.tally.epoch ?? 0) + 1)
    assert.match((await views.list()).text, /Tea or coffee\?/)
    await polls.remove(slug)
    assert.equal(await views.read(slug), undefined)
    assert.doesNotMatch((await views.list()).text, /Tea or coffee\?/)
  })

  test('a crowd that reads the list costs two queries, and gets the same text', async () => {
    await use().createPoll()
    const { database, statements } = watched(use().database)
    const views = createPollViews({ database, now: () => 0 })
    const lists = await Promise.all(Array.from({ length: 1_000 }, () => views.list()))
    assert.equal(new Set(lists.map(({ text, etag }) => text + etag)).size, 1)
    assert.deepEqual(statements, ['all polls', 'all polls'])
  })

  test('a history is read once for all who ask within a second, and an unknown poll has none, however new', async () => {
    const { database, statements } = watched(use().database)
    let now = 0
    const views = createPollViews({ database, now: () => now })
    const step = { step: '1s', seconds: 1 }
    const slug = 'with-a-past'
    assert.equal(await views.history(slug, step), undefined)
    const { id } = await use().createPoll({ slug })
    const first = await views.history(slug, step)
    assert.deepEqual(JSON.parse(first?.text ?? ''), { poll: slug, step: '1s', points: [] })
    await database.query({
      text: `INSERT INTO livetally.history (poll_id, at, epoch, version, counts) VALUES (${id}, now(), 1, 2, '{"cats": 1}')`,
    })
    statements.length = 0
    now = HISTORY_KEPT_MS - 1
    for (let left = 100; left > 0; left -= 1) assert.equal(await views.history(slug, step), first)
    assert.ok(!statements.includes('history'))
    now = HISTORY_KEPT_MS
    const later = await Promise.all(Array.from({ length: 100 }, () => views.history(slug, step)))
    assert.match(later[0]?.text ?? '', /"total":1,"counts":\{"cats":1,"dogs":0\}/)
    assert.notEqual(later[0]?.etag, first?.etag)
    assert.equal(statements.filter((name) => name === 'history').length, 2)
  })

  test('a history that was hidden, shown, removed or begun anew is so at once', async () => {
    const { database } = use()
    const polls = createPollStore(database)
    const views = createPollViews({ database, now: () => 0 })
    const slug = 'history-of-the-moment'
    const ask = async () => (await views.history(slug, { step: '1s', seconds: 1 }))?.text
    const create = async () => {
      const { id } = await use().createPoll({ slug })
      await database.query({
        text: `INSERT INTO livetally.history (poll_id, at, epoch, version, counts) VALUES (${id}, now(), 1, 2, '{"cats": 1}')`,
      })
    }
    await create()
    assert.match((await ask()) ?? '', /"counts"/)
    await polls.edit(slug, { visibility: 'after-close' })
    assert.doesNotMatch((await ask()) ?? '', /"counts"/)
    await polls.edit(slug, { visibility: 'live' })
    assert.match((await ask()) ?? '', /"counts"/)
    await polls.remove(slug)
    assert.equal(await ask(), undefined)
    await use().createPoll({ slug })
    assert.match((await ask()) ?? '', /"points":\[\]/)
  })
})
