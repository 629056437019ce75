import assert from 'node:assert/strict'
import { test } from 'node:test'
import { onEachDatabase } from '../../e2e/support/databases-under-test.ts'
import { createPollStore } from './poll-store.ts'

const inMs = (ms: number) => new Date(Date.now() + ms)

onEachDatabase('the poll store', (use) => {
  test('creates a poll once and finds it again', async () => {
    const store = createPollStore(use().database)
    const fields = { slug: 'tea-or-coffee', question: 'Tea or coffee?', options: [{ id: 'tea', label: 'Tea', color: '#00aa00' }] }
    const created = await store.create(fields)
    assert.equal(created.kind, 'created')
    assert.deepEqual(await store.create(fields), { kind: 'slug-taken' })
    const found = await store.get('tea-or-coffee')
    assert.deepEqual(created, { kind: 'created', poll: found })
    assert.deepEqual(found?.options, fields.options)
    assert.deepEqual(
      { state: found.state, changeAllowed: found.changeAllowed, visibility: found.visibility, policy: found.policy },
      { state: 'open', changeAllowed: true, visibility: 'live', policy: 'cookie' },
    )
    assert.ok((await store.list()).some((poll) => poll.slug === 'tea-or-coffee'))
    assert.equal(await store.get('juice'), undefined)
  })

  test('refuses a name that is no slug', async () => {
    const store = createPollStore(use().database)
    await assert.rejects(store.create({ slug: 'No Slug', question: '?', options: [] }))
  })

  test('schedules a poll that opens later and has it closed when that has passed', async () => {
    const { database, createPoll } = use()
    const store = createPollStore(database)
    const later = await createPoll({ opensAt: inMs(60_000) })
    assert.equal(later.state, 'scheduled')
    const over = await createPoll({ closesAt: inMs(-1_000) })
    assert.equal(over.state, 'closed')
    await store.advance()
    assert.equal((await store.get(later.slug))?.state, 'scheduled')
  })

  test('opens and closes when the time has come, each as a new revision', async () => {
    const { database, createPoll } = use()
    const store = createPollStore(database)
    const poll = await createPoll({ opensAt: inMs(60_000), closesAt: inMs(120_000) })
    const opensAt = inMs(-2)
    // set by SQL, without the store: the trigger keeps a state that the statement does not set
    await database.query({ text: 'UPDATE livetally.polls SET opens_at = $1 WHERE slug = $2' }, [opensAt, poll.slug])
    await store.advance()
    const open = await store.get(poll.slug)
    assert.equal(open?.state, 'open')
    assert.equal(open.revision, poll.revision + 2)
    await database.query({ text: "UPDATE livetally.polls SET closes_at = now() - interval '1 ms' WHERE slug = $1" }, [poll.slug])
    await store.advance()
    assert.equal((await store.get(poll.slug))?.state, 'closed')
    await store.advance()
    assert.equal((await store.get(poll.slug))?.revision, poll.revision + 4)
  })

  test('notes when a poll was closed by hand and forgets it on reopening', async () => {
    const { database, createPoll } = use()
    const store = createPollStore(database)
    const { slug } = await createPoll({ closesAt: inMs(60_000) })
    const closed = await store.edit(slug, { state: 'closed' })
    assert.ok(closed.kind === 'edited' && closed.poll.closesAt !== null && closed.poll.closesAt <= new Date())
    const reopened = await store.edit(slug, { state: 'open' })
    assert.ok(reopened.kind === 'edited')
    assert.deepEqual([reopened.poll.state, reopened.poll.closesAt], ['open', null])
    await store.advance()
    assert.equal((await store.get(slug))?.state, 'open')
  })

  test('edits what is named, and counts no revision for nothing', async () => {
    const { database, createPoll } = use()
    const store = createPollStore(database)
    const { slug, options } = await createPoll()
    const edited = await store.edit(slug, {
      question: 'Cats, dogs or fish?',
      options: [...options, { id: 'fish', label: 'Fish' }],
    })
    assert.ok(edited.kind === 'edited')
    assert.equal(edited.poll.options.length, 3)
    assert.equal(edited.poll.revision, 2)
    const same = await store.edit(slug, {})
    assert.ok(same.kind === 'edited')
    assert.equal(same.poll.revision, 2)
    assert.deepEqual(await store.edit('nowhere', { question: '?' }), { kind: 'unknown-poll' })
  })

  test('keeps a slug and an epoch against edits from elsewhere', async () => {
    const { database, createPoll } = use()
    const { id } = await createPoll()
    await assert.rejects(
      database.query({ text: "UPDATE livetally.polls SET slug = 'other' WHERE id = $1" }, [id]),
      /keeps its slug/,
    )
    await database.query({ text: 'UPDATE livetally.polls SET epoch = 0, revision = 0 WHERE id = $1' }, [id])
    const [row] = await database.query({ text: 'SELECT epoch, revision FROM livetally.polls WHERE id = $1' }, [id])
    assert.deepEqual(row, { epoch: 1, revision: 2 })
    await assert.rejects(database.query({ text: 'TRUNCATE livetally.polls' }), /delete polls instead/)
  })

  test('resets to no ballots in a new epoch', async () => {
    const { database, createPoll } = use()
    const store = createPollStore(database)
    const { id, slug } = await createPoll()
    await database.query(
      { text: "INSERT INTO livetally.ballots (poll_id, voter_id, option) VALUES ($1, gen_random_uuid(), 'cats')" },
      [id],
    )
    const reset = await store.reset(slug)
    assert.ok(reset.kind === 'edited')
    assert.equal(reset.poll.epoch, 2)
    const [row] = await database.query(
      {
        text: 'SELECT (SELECT count(*) FROM livetally.ballots WHERE poll_id = $1) AS ballots, (SELECT sum(n) FROM livetally.counters WHERE poll_id = $1) AS counted',
      },
      [id],
    )
    assert.deepEqual(row, { ballots: '0', counted: '0' })
    assert.deepEqual(await store.reset('nowhere'), { kind: 'unknown-poll' })
  })

  test('removes a poll with everything that is its own, and starts a later one of that name in a higher epoch', async () => {
    const { database, createPoll } = use()
    const store = createPollStore(database)
    const { id, slug } = await createPoll()
    await database.query(
      { text: "INSERT INTO livetally.ballots (poll_id, voter_id, option) VALUES ($1, gen_random_uuid(), 'cats')" },
      [id],
    )
    assert.equal(await store.remove(slug), true)
    assert.equal(await store.remove(slug), false)
    const [left] = await database.query(
      {
        text: 'SELECT (SELECT count(*) FROM livetally.ballots WHERE poll_id = $1) AS ballots, (SELECT count(*) FROM livetally.counters WHERE poll_id = $1) AS counters',
      },
      [id],
    )
    assert.deepEqual(left, { ballots: '0', counters: '0' })
    assert.equal((await createPoll({ slug })).epoch, 2)
  })
})
