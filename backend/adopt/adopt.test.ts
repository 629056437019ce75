import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { onEachDatabase } from '../../e2e/support/databases-under-test.ts'
import { sqlState } from '../database/errors.ts'
import type { Queryable } from '../database/database.ts'
import { createPollStore } from '../polls/poll-store.ts'
import { createTallyReader } from '../tallies/tally-reader.ts'
import { repair, verify } from '../verify/verify.ts'
import { adopt, createAdopted, release, suggestOptions } from './adopt.ts'

const sql = (statement: string) => ({ text: statement })

/** What the worker of Docker's example voting app does with each vote. */
async function exampleWorker(connection: Queryable, voter: string, vote: string): Promise<void> {
  try {
    await connection.query(sql('INSERT INTO votes (id, vote) VALUES ($1, $2)'), [voter, vote])
  } catch (error) {
    if (sqlState(error) !== '23505') throw error
    await connection.query(sql('UPDATE votes SET vote = $1 WHERE id = $2'), [vote, voter])
  }
}

const LABELLED = [
  { id: 'a', label: 'Cats' },
  { id: 'b', label: 'Dogs' },
]

onEachDatabase('adopting a table', (use, kind) => {
  test("counts the example voting app's votes: those that were there, and every one its worker writes", async () => {
    const { database, createPoll } = use()
    await database.query(sql('CREATE TABLE votes (id VARCHAR(255) NOT NULL UNIQUE, vote VARCHAR(255) NOT NULL)'))
    for (const [voter, vote] of [
      ['1f', 'a'],
      ['2e', 'b'],
      ['3d', 'a'],
    ] as const)
      await exampleWorker(database, voter, vote)
    const { slug } = await createPoll({ slug: 'cats-vs-dogs', options: LABELLED })
    const store = createTallyReader(database)
    await store.readChanges()

    const request = { table: 'votes', optionColumn: 'vote', slug }
    const source = { table: 'public.votes', optionColumn: 'vote' }
    assert.deepEqual(await adopt(database, request), { kind: 'adopted', source, corrected: 3 })
    const [adopted] = await store.readChanges()
    assert.deepEqual(adopted?.tally.counts, { a: 2, b: 1 })

    await exampleWorker(database, '4c', 'b')
    await exampleWorker(database, '1f', 'b')
    assert.deepEqual((await store.readChanges())[0]?.tally.counts, { a: 1, b: 3 })
    assert.deepEqual(await adopt(database, request), { kind: 'adopted', source, corrected: 0 })
    assert.deepEqual(await store.readChanges(), [], 'adopting again changes nothing')

    await database.query(sql("DELETE FROM votes WHERE id = '2e'"))
    assert.deepEqual((await store.readChanges())[0]?.tally.counts, { a: 1, b: 2 })
    assert.ok((await verify({ database, slugs: [slug] }))[0]?.ok)
    await database.query(sql('TRUNCATE votes'))
    assert.deepEqual((await store.readChanges())[0]?.tally, {
      ...(await store.read(slug))?.tally,
      counts: { a: 0, b: 0 },
      total: 0,
    })
    await store.close()
  })

  test('leaves the table as it was when it is released, and the poll closed and empty', async () => {
    const { database } = use()
    assert.deepEqual(await release(database, 'cats-vs-dogs'), { kind: 'released' })
    const left = await database.query(
      sql(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = 'votes'::regclass AND NOT tgisinternal UNION ALL SELECT proname FROM pg_proc WHERE proname LIKE '%poll_%' AND pronamespace = 'livetally'::regnamespace AND proname ~ '[0-9]$'",
      ),
    )
    assert.deepEqual(left, [])
    await exampleWorker(database, '5b', 'a')
    const poll = await createPollStore(database).get('cats-vs-dogs')
    assert.deepEqual([poll?.state, poll?.source, poll?.epoch], ['closed', null, 2])
    assert.ok((await verify({ database, slugs: ['cats-vs-dogs'] }))[0]?.ok)
    assert.deepEqual(await release(database, 'cats-vs-dogs'), { kind: 'no-source' })
    assert.deepEqual(await release(database, 'nowhere'), { kind: 'unknown-poll' })
  })

  test('takes what was missed while the triggers were off, and verify repairs it as well', async () => {
    const { database, createPoll } = use()
    await database.query(sql('CREATE TABLE answers (answer integer)'))
    const { slug } = await createPoll({ options: [{ id: '1', label: 'One' }] })
    const request = { table: 'answers', optionColumn: 'answer', slug }
    await adopt(database, request)
    const unseen = async () => {
      await database.query(sql('ALTER TABLE answers DISABLE TRIGGER USER'))
      await database.query(sql('INSERT INTO answers VALUES (1), (NULL), (2)'))
      await database.query(sql('ALTER TABLE answers ENABLE TRIGGER USER'))
    }
    await unseen()
    const adopted = await adopt(database, request)
    assert.equal(adopted.kind === 'adopted' && adopted.corrected, 2)
    await unseen()
    assert.deepEqual(await repair({ database, slugs: [slug] }), [slug])
    assert.ok((await verify({ database, slugs: [slug] }))[0]?.ok)
  })

  test('quotes any name a table and a column can have', async () => {
    const { database, createPoll } = use()
    await database.query(sql(`CREATE SCHEMA "my ""schema"`))
    await database.query(sql(`CREATE TABLE "my ""schema"."Votes; DROP TABLE x" ("the 'option' %I $f$" text)`))
    const { slug } = await createPoll()
    const request = { table: `"my ""schema"."Votes; DROP TABLE x"`, optionColumn: `the 'option' %I $f$`, slug }
    assert.equal((await adopt(database, request)).kind, 'adopted')
    await database.query(sql(`INSERT INTO ${request.table} VALUES ('cats'), ('cats'), ('${'x'.repeat(9_000)}')`))
    const store = createTallyReader(database)
    assert.deepEqual((await store.read(slug))?.tally.counts, { cats: 2, dogs: 0 })
    assert.deepEqual((await suggestOptions(database, { table: request.table, optionColumn: request.optionColumn }))[0], 'cats')
    await database.query(sql(`DROP TABLE ${request.table}`))
    assert.equal(await createPollStore(database).remove(slug), true)
  })

  test('refuses what it cannot count for certain, and says why', async () => {
    const { database, createPoll } = use()
    await database.query(sql('CREATE TABLE plain (choice text)'))
    await database.query(sql('CREATE VIEW seen AS SELECT * FROM plain'))
    await database.query(sql('CREATE TABLE parts (choice text) PARTITION BY LIST (choice)'))
    const { id, slug } = await createPoll()
    const kindOf = async (table: string, optionColumn = 'choice', pollSlug = slug) =>
      (await adopt(database, { table, optionColumn, slug: pollSlug })).kind
    for (const name of ['nowhere', 'plain; DROP TABLE plain', '"plain', '', 'a.b.c', 'plain\0', "plain'--"]) {
      assert.equal(await kindOf(name), 'unknown-table', name)
    }
    assert.equal(await kindOf('plain', 'choices'), 'unknown-column')
    assert.equal(await kindOf('plain', 'CHOICE'), 'unknown-column')
    assert.equal(await kindOf('plain', 'choice', 'nowhere'), 'unknown-poll')
    for (const name of ['seen', 'parts', 'livetally.polls', 'pg_catalog.pg_class'])
      assert.equal(await kindOf(name, 'choice'), 'not-adoptable', name)
    await database.query(sql("INSERT INTO livetally.ballots VALUES ($1, gen_random_uuid(), 'cats', now())"), [id])
    assert.equal(await kindOf('plain'), 'has-ballots')
    const other = await createPoll()
    assert.equal(await kindOf('plain', 'choice', other.slug), 'adopted')
    await database.query(sql('CREATE TABLE plain2 (choice text)'))
    assert.equal(await kindOf('plain2', 'choice', other.slug), 'other-source')
  })

  test('takes its triggers along when the poll is removed', async () => {
    const { database, createPoll } = use()
    await database.query(sql('CREATE TABLE kept (choice text)'))
    const { slug } = await createPoll()
    await adopt(database, { table: 'kept', optionColumn: 'choice', slug })
    await createPollStore(database).remove(slug)
    assert.deepEqual(
      await database.query(sql("SELECT tgname FROM pg_trigger WHERE tgrelid = 'kept'::regclass AND NOT tgisinternal")),
      [],
    )
  })

  test('creates a poll together with its source, or neither', async () => {
    const { database } = use()
    await database.query(sql("CREATE TABLE drinks AS SELECT 'a' AS drink"))
    const poll = { slug: 'drinks', question: 'A or B?', options: LABELLED }
    assert.equal((await createAdopted(database, poll, { table: 'drinks', optionColumn: 'food' })).kind, 'unknown-column')
    assert.equal(await createPollStore(database).get('drinks'), undefined)
    const created = await createAdopted(database, poll, { table: 'drinks', optionColumn: 'drink' })
    assert.deepEqual(created.kind === 'created' && created.poll.source, { table: 'public.drinks', optionColumn: 'drink' })
    assert.equal((await createAdopted(database, poll, { table: 'drinks', optionColumn: 'drink' })).kind, 'slug-taken')
  })

  if (kind === 'postgres') {
    test('counts each row once that is written while it is adopted', async () => {
      const { database, createPoll } = use()
      await database.query(sql('CREATE TABLE busy (choice text)'))
      const { slug } = await createPoll()
      let writing = true
      const writers = Promise.all(
        Array.from({ length: 3 }, async () => {
          while (writing) await database.query(sql("INSERT INTO busy SELECT 'cats' FROM generate_series(1, 3)"))
        }),
      )
      for (let round = 0; round < 3; round++) await adopt(database, { table: 'busy', optionColumn: 'choice', slug })
      writing = false
      await writers
      assert.ok((await verify({ database, slugs: [slug] }))[0]?.ok)
    })

    test('works from the command line: creates the poll from the values found, and releases it', async () => {
      const { database, url } = use()
      await database.query(sql("CREATE TABLE lunch AS SELECT dish FROM (VALUES ('soup'), ('salad'), ('soup')) AS t (dish)"))
      const run = async (...args: string[]) => {
        const main = fileURLToPath(new URL('./main.ts', import.meta.url))
        const child = spawn('node', [main, ...args], {
          env: { ...process.env, DATABASE_URL: url },
          stdio: ['ignore', 'pipe', 'pipe'],
        })
        const [out, errors, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
        return { out, errors, code }
      }
      const adopted = await run(
        '--table',
        'lunch',
        '--option-column',
        'dish',
        '--poll',
        'lunch',
        '--question',
        'What is for lunch?',
      )
      assert.deepEqual(adopted, { out: 'lunch counts public.lunch.dish; 3 rows were not counted yet.\n', errors: '', code: 0 })
      const store = createTallyReader(database)
      const snapshot = await store.read('lunch')
      assert.deepEqual([snapshot?.poll.question, snapshot?.tally.counts], ['What is for lunch?', { soup: 2, salad: 1 }])
      const refused = await run('--table', 'dinner', '--option-column', 'dish', '--poll', 'lunch')
      assert.deepEqual(refused, { out: '', errors: 'there is no such table\n', code: 1 })
      // without the function adopting fails, after the poll was created: the poll must be removed again
      await database.query(sql('ALTER FUNCTION livetally.adopt RENAME TO adopt_elsewhere'))
      const failed = await run('--table', 'lunch', '--option-column', 'dish', '--poll', 'dinner')
      await database.query(sql('ALTER FUNCTION livetally.adopt_elsewhere RENAME TO adopt'))
      assert.equal(failed.code, 2)
      assert.match(failed.errors, /livetally\.adopt/)
      assert.equal(await createPollStore(database).get('dinner'), undefined)
      assert.equal((await run('--poll', 'lunch', '--release')).code, 0)
      assert.equal((await run('--poll', 'Not a slug')).code, 2)
    })
  }
})
