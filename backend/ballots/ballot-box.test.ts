import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { type BallotBox, type BallotBoxOptions, createBallotBox } from './ballot-box.ts'
import { type CastOutcome, VoteUnconfirmed, VoteUnusable } from './cast-outcome.ts'
import { type DatabaseUnderTest, onEachDatabase } from '../../e2e/support/databases-under-test.ts'
import { createStamps } from '../../shared/protocol/vote-order.ts'
import type { Database, Queryable } from '../database/database.ts'
import { DatabaseUnavailable } from '../database/errors.ts'
import { createPollStore } from '../polls/poll-store.ts'

const sql = (text: string) => ({ text })
const stamp = createStamps(Date.now)

interface UnorderedVote {
  readonly slug: string
  readonly voter: string
  readonly option: string
}

/** Casts a vote with an order above all before. */
const castNow = (box: BallotBox, vote: UnorderedVote) => box.cast({ ...vote, order: stamp() })

const withBox = async (
  { database, log }: DatabaseUnderTest,
  work: (box: BallotBox) => Promise<void>,
  options: Partial<BallotBoxOptions> = {},
) => {
  const box = createBallotBox({ database, log, now: Date.now, ...options })
  try {
    await work(box)
  } finally {
    await box.drain()
  }
}

const tallyOf = async (database: Queryable, pollId: number) => {
  const rows = await database.query<{ option: string; ballots: string; counted: string }>(
    sql(`SELECT option, sum(b) AS ballots, sum(c) AS counted FROM (
      SELECT option, 1 AS b, 0 AS c FROM livetally.ballots WHERE poll_id = $1
      UNION ALL SELECT option, 0, n FROM livetally.counters WHERE poll_id = $1) t GROUP BY option HAVING sum(b) <> 0 OR sum(c) <> 0 ORDER BY option`),
    [pollId],
  )
  for (const row of rows) assert.equal(row.counted, row.ballots, `drift in ${row.option}`)
  return Object.fromEntries(rows.map((row) => [row.option, Number(row.ballots)]))
}

const kinds = (outcomes: readonly CastOutcome[]) => outcomes.map((outcome) => outcome.kind)

/** The database, with a function that runs before each batch of votes is cast. */
const interrupted = (database: Database, before: () => Promise<void>): Database => ({
  ...database,
  openSession: async (options) => {
    const session = await database.openSession(options)
    return {
      ...session,
      lost: false,
      query: async (statement, values) => {
        if (statement.name === 'cast batch') await before()
        return await session.query(statement, values)
      },
    }
  },
})

onEachDatabase('the ballot box', (use, kind) => {
  test('accepts a vote, a change of mind and a repetition, as one ballot', async () => {
    const { database, createPoll } = use()
    const { id, slug: poll } = await createPoll()
    const voter = randomUUID()
    let commits = 0
    await withBox(
      use(),
      async (box) => {
        for (const option of ['cats', 'cats', 'dogs'])
          assert.deepEqual(await castNow(box, { slug: poll, voter, option }), { kind: 'accepted' })
        assert.equal((await box.ballotOf(poll, voter))?.option, 'dogs')
        assert.equal(await box.ballotOf(poll, randomUUID()), undefined)
      },
      { onCommitted: () => commits++ },
    )
    assert.deepEqual(await tallyOf(database, id), { dogs: 1 })
    assert.equal(commits, 3)
  })

  test('a crowd that reads its ballots costs two queries', async () => {
    const { database, createPoll } = use()
    const { slug } = await createPoll()
    const voters = Array.from({ length: 100 }, () => randomUUID())
    let queries = 0
    const query: Database['query'] = (statement, values) => {
      queries += 1
      return database.query(statement, values)
    }
    await withBox({ ...use(), database: { ...database, query } }, async (box) => {
      await Promise.all(voters.slice(10).map((voter) => castNow(box, { slug, voter, option: 'dogs' })))
      const ballots = await Promise.all(voters.map(async (voter) => (await box.ballotOf(slug, voter))?.option))
      assert.deepEqual(ballots, [...Array<undefined>(10), ...Array<string>(90).fill('dogs')])
    })
    // on PGlite the votes take this way too
    if (kind === 'postgres') assert.equal(queries, 2)
  })

  test('says why a vote is refused, each of a batch by itself', async () => {
    const under = use()
    const open = (await under.createPoll()).slug
    const closed = (await under.createPoll({ closesAt: new Date(0) })).slug
    const later = (await under.createPoll({ opensAt: new Date(Date.now() + 60_000) })).slug
    const ticketed = (await under.createPoll({ policy: 'ticket' })).slug
    await withBox(under, async (box) => {
      const cast = (slug: string, option: string) => castNow(box, { slug, voter: randomUUID(), option })
      const outcomes = await Promise.all([
        cast(open, 'cats'),
        cast('nowhere', 'cats'),
        cast(open, 'fish'),
        cast(open, 'a,"{}\\'),
        cast(open, 'nul\0l'),
        cast(closed, 'cats'),
        cast(later, 'cats'),
        cast(ticketed, 'cats'),
        cast(open, 'dogs'),
      ])
      assert.deepEqual(kinds(outcomes), [
        'accepted',
        'unknown-poll',
        'unknown-option',
        'unknown-option',
        'unknown-option',
        'closed',
        'not-open',
        'no-ticket',
        'accepted',
      ])
    })
  })

  test('accepts options of any spelling', async () => {
    const under = use()
    const ids = [
      'a,b',
      '"quoted"',
      'back\\slash',
      '{braces}',
      'NULL',
      'null',
      'ja, natürlich',
      '🐈',
      "it's",
      ' '.concat('x').trim(),
    ]
    const { id, slug: poll } = await under.createPoll({ options: ids.map((option) => ({ id: option, label: option })) })
    await withBox(under, async (box) => {
      const outcomes = await Promise.all(ids.map((option) => castNow(box, { slug: poll, voter: randomUUID(), option })))
      assert.deepEqual(new Set(kinds(outcomes)), new Set(['accepted']))
    })
    assert.deepEqual(await tallyOf(under.database, id), Object.fromEntries(ids.map((option) => [option, 1])))
  })

  test('lets the last of several votes in a batch stand, or the first where votes are final', async () => {
    const under = use()
    const changeable = await under.createPoll()
    const final = await under.createPoll({ changeAllowed: false })
    const voter = randomUUID()
    await withBox(under, async (box) => {
      const cast = (slug: string, options: readonly string[], by: string = voter) =>
        Promise.all(options.map((option) => castNow(box, { slug, voter: by, option })))
      assert.deepEqual(new Set(kinds(await cast(changeable.slug, ['cats', 'dogs', 'cats', 'dogs']))), new Set(['accepted']))
      assert.equal((await box.ballotOf(changeable.slug, voter))?.option, 'dogs')
      const refused = { kind: 'already-voted', ballot: 'cats' }
      const outcomes = await cast(final.slug, ['cats', 'dogs', 'cats'])
      const repeated = { kind: 'accepted', order: (await box.ballotOf(final.slug, voter))?.order }
      assert.deepEqual(outcomes, [{ kind: 'accepted' }, refused, repeated])
      assert.deepEqual(await cast(final.slug, ['dogs', 'cats', 'dogs']), [refused, repeated, refused])
      assert.deepEqual(await cast(final.slug, ['cats']), [repeated])
      assert.deepEqual(await cast(final.slug, ['dogs'], voter.toUpperCase()), [refused])
    })
    assert.deepEqual(await tallyOf(under.database, final.id), { cats: 1 })
  })

  test('lets the vote with the highest order stand, whichever comes last', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    await withBox(under, async (box) => {
      const voter = randomUUID()
      const cast = (option: string, order: number) => box.cast({ slug: poll, voter, option, order })
      const superseded = (option: string, order: number) => ({ kind: 'superseded', ballot: { option, order } })
      const accepted = { kind: 'accepted' }
      assert.deepEqual(await cast('cats', 5), accepted)
      assert.deepEqual(await cast('dogs', 4), superseded('cats', 5))
      assert.deepEqual(await cast('dogs', 5), superseded('cats', 5))
      assert.deepEqual([await cast('cats', 5), await cast('cats', 3)], [accepted, { kind: 'accepted', order: 5 }])
      assert.deepEqual(await cast('cats', 7), accepted)
      assert.deepEqual(await cast('dogs', 6), superseded('cats', 7))
      assert.deepEqual(await Promise.all([cast('dogs', 9), cast('cats', 8), cast('cats', 10)]), [
        accepted,
        superseded('dogs', 9),
        accepted,
      ])
      assert.deepEqual(await box.ballotOf(poll, voter), { option: 'cats', order: 10 })
      assert.deepEqual(await Promise.all([cast('dogs', 12), cast('cats', 11)]), [accepted, superseded('dogs', 12)])
      const highest = 2 ** 53 - 1
      assert.deepEqual([await cast('cats', highest), await cast('dogs', highest)], [accepted, superseded('cats', highest)])
    })
    assert.deepEqual(await tallyOf(under.database, id), { cats: 1 })
  })

  test('casts no vote that nobody awaits any more when its turn comes', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    const gate = Promise.withResolvers<void>()
    let batches = 0
    const slow = interrupted(under.database, async () => {
      if (batches++ === 0) await gate.promise
    })
    const box = createBallotBox({ database: slow, log: under.log, now: () => performance.now(), writers: 1 })
    const first = castNow(box, { slug: poll, voter: randomUUID(), option: 'cats' })
    while (batches === 0) await new Promise(setImmediate)
    let isThere = true
    const vote = (isAwaited: () => boolean) =>
      box.cast({ slug: poll, voter: randomUUID(), option: 'dogs', order: stamp(), isAwaited })
    const votes = [vote(() => isThere), vote(() => true), vote(() => isThere)]
    isThere = false
    gate.resolve()
    assert.deepEqual(kinds(await Promise.all([first, ...votes])), ['accepted', 'abandoned', 'accepted', 'abandoned'])
    const last = vote(() => false)
    await box.drain()
    assert.deepEqual(await last, { kind: 'abandoned' })
    assert.equal(box.queued, 0)
    assert.deepEqual(await tallyOf(under.database, id), { cats: 1, dogs: 1 })
  })

  test('waits a few turns after a halt of the process, until it is known who has gone meanwhile', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    let time = 0
    await withBox(
      under,
      async (box) => {
        time += 5_000
        let isThere = true
        const vote = { slug: poll, voter: randomUUID(), option: 'cats', order: 1, isAwaited: () => isThere }
        const cast = box.cast(vote)
        for (let turn = 0; turn < 4; turn++) await new Promise(setImmediate)
        isThere = false
        assert.deepEqual(await cast, { kind: 'abandoned' })
        assert.deepEqual(await box.cast({ ...vote, isAwaited: () => true }), { kind: 'accepted' })
      },
      { now: () => time },
    )
    assert.deepEqual(await tallyOf(under.database, id), { cats: 1 })
  })

  test('replaces a ballot of a program that gives no order, and keeps the order where such a program changes the option', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    const voter = randomUUID()
    await withBox(under, async (box) => {
      const insert = sql("INSERT INTO livetally.ballots (poll_id, voter_id, option) VALUES ($1, $2, 'cats')")
      await under.database.query(insert, [id, voter])
      assert.deepEqual(await box.ballotOf(poll, voter), { option: 'cats', order: 0 })
      assert.deepEqual(await box.cast({ slug: poll, voter, option: 'dogs', order: 1 }), { kind: 'accepted' })
      await under.database.query(sql("UPDATE livetally.ballots SET option = 'cats' WHERE poll_id = $1"), [id])
      assert.deepEqual(await box.ballotOf(poll, voter), { option: 'cats', order: 1 })
      assert.deepEqual(await box.cast({ slug: poll, voter, option: 'dogs', order: 2 }), { kind: 'accepted' })
    })
    assert.deepEqual(await tallyOf(under.database, id), { dogs: 1 })
  })

  test('takes many votes of one voter in one batch, whatever their orders', async () => {
    const under = use()
    const { slug: poll } = await under.createPoll()
    const voter = randomUUID()
    let commits = 0
    await withBox(
      under,
      async (box) => {
        const cast = (option: string, order: number) => box.cast({ slug: poll, voter, option, order })
        const falling = await Promise.all(Array.from({ length: 250 }, (_, i) => cast(i % 2 === 0 ? 'cats' : 'dogs', 250 - i)))
        assert.deepEqual(falling[0], { kind: 'accepted' })
        assert.deepEqual(falling[249], { kind: 'superseded', ballot: { option: 'cats', order: 250 } })
        assert.deepEqual(await box.ballotOf(poll, voter), { option: 'cats', order: 250 })
      },
      { writers: 1, onCommitted: () => commits++ },
    )
    assert.equal(commits, 1)
  })

  test('takes a ticket wherever it is used, as one ballot', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll({ policy: 'ticket' })
    const voter = randomUUID()
    await under.database.query(sql('INSERT INTO livetally.tickets (poll_id, voter_id) VALUES ($1, $2)'), [id, voter])
    await withBox(under, async (box) => {
      assert.deepEqual(
        kinds([
          await castNow(box, { slug: poll, voter, option: 'cats' }),
          await castNow(box, { slug: poll, voter, option: 'dogs' }),
        ]),
        ['accepted', 'accepted'],
      )
    })
    assert.deepEqual(await tallyOf(under.database, id), { dogs: 1 })
  })

  test('commits the rest of a batch that one vote spoils', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    await withBox(under, async (box) => {
      const voters = [...Array.from({ length: 20 }, () => randomUUID()), 'no uuid', randomUUID()]
      const results = await Promise.allSettled(voters.map((voter) => castNow(box, { slug: poll, voter, option: 'cats' })))
      const refused = results.filter((result) => result.status === 'rejected')
      assert.deepEqual(
        refused.map(({ reason }) => reason instanceof VoteUnusable),
        [true],
      )
    })
    assert.deepEqual(await tallyOf(under.database, id), { cats: 21 })
  })

  test('puts votes that arrive during a transaction into the next one', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    let commits = 0
    await withBox(
      under,
      async (box) => {
        await Promise.all(Array.from({ length: 250 }, () => castNow(box, { slug: poll, voter: randomUUID(), option: 'cats' })))
        assert.equal(commits, 3)
      },
      { writers: 1, batchMax: 100, onCommitted: () => commits++ },
    )
    assert.deepEqual(await tallyOf(under.database, id), { cats: 250 })
  })

  test('turns votes away when too many wait, and when it is draining', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    const box = createBallotBox({ ...under, now: Date.now, queueMax: 10 })
    const cast = () => castNow(box, { slug: poll, voter: randomUUID(), option: 'cats' })
    const outcomes = Promise.all(Array.from({ length: 15 }, cast))
    assert.equal(box.queued, 10)
    const drained = box.drain()
    assert.equal((await cast()).kind, 'overloaded')
    await drained
    const refused = (await outcomes).filter((outcome) => outcome.kind === 'overloaded')
    assert.equal(refused.length, 5)
    assert.ok(refused.every(({ retryAfterMs }) => retryAfterMs >= 250))
    assert.deepEqual(await tallyOf(under.database, id), { cats: 10 })
  })

  if (kind !== 'postgres') return

  const cutLanes = (database: Database) =>
    database.query(sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'livetally ballot box'"))

  test('accepts nothing after a close has committed', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    const polls = createPollStore(under.database)
    await withBox(under, async (box) => {
      let voting = true
      const accepted = { before: 0, after: 0 }
      let closedAt = Infinity
      const voter = async () => {
        while (voting) {
          const castAt = performance.now()
          const { kind: outcome } = await castNow(box, { slug: poll, voter: randomUUID(), option: 'cats' })
          if (outcome === 'accepted') accepted[castAt > closedAt ? 'after' : 'before']++
        }
      }
      const voters = Promise.all(Array.from({ length: 64 }, voter))
      while (accepted.before < 200) await new Promise(setImmediate)
      const startedAt = performance.now()
      await polls.edit(poll, { state: 'closed' })
      closedAt = performance.now()
      assert.ok(closedAt - startedAt < 500, `closing took ${closedAt - startedAt} ms: voters must not keep it waiting`)
      const atClose = await tallyOf(under.database, id)
      for (let i = 0; i < 50; i++) await new Promise(setImmediate)
      voting = false
      await voters
      assert.equal(accepted.after, 0)
      assert.deepEqual(await tallyOf(under.database, id), atClose)
    })
  })

  test('tries again when its connection is cut, and loses nothing it acknowledged', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    await withBox(under, async (box) => {
      let voting = true
      let accepted = 0
      const voters = Promise.all(
        Array.from({ length: 32 }, async () => {
          while (voting) {
            assert.deepEqual(await castNow(box, { slug: poll, voter: randomUUID(), option: 'dogs' }), { kind: 'accepted' })
            accepted++
          }
        }),
      )
      for (let cut = 0; cut < 5; cut++) {
        const before = accepted
        while (accepted < before + 300) await new Promise(setImmediate)
        await cutLanes(under.database)
      }
      voting = false
      await voters
      assert.deepEqual(await tallyOf(under.database, id), { dogs: accepted })
    })
  })

  test('does not replace a newer vote when it tries an older one again, and does not call it accepted', async () => {
    const under = use()
    const { slug: poll } = await under.createPoll()
    const voter = randomUUID()
    const gate = Promise.withResolvers<void>()
    let attempts = 0
    // the first attempt is lost on its way, and the second starts late
    const flaky = interrupted(under.database, async () => {
      if (attempts++ > 0) return
      await gate.promise
      throw new Error('Connection terminated unexpectedly')
    })
    const [old, other] = [flaky, under.database].map((database) => createBallotBox({ database, log: under.log, now: Date.now }))
    assert.ok(old !== undefined && other !== undefined)
    const first = old.cast({ slug: poll, voter, option: 'cats', order: 1 })
    while (attempts === 0) await new Promise(setImmediate)
    assert.deepEqual(await other.cast({ slug: poll, voter, option: 'dogs', order: 2 }), { kind: 'accepted' })
    gate.resolve()
    assert.deepEqual(await first, { kind: 'superseded', ballot: { option: 'dogs', order: 2 } })
    assert.deepEqual(await other.ballotOf(poll, voter), { option: 'dogs', order: 2 })
    await Promise.all([old.drain(), other.drain()])
  })

  test('stores a change that it tries again, however late the answers of the database come', async () => {
    const under = use()
    const { slug: poll } = await under.createPoll()
    const voter = randomUUID()
    let attempts = 0
    const slow: Database = {
      ...under.database,
      openSession: async (options) => {
        const session = await under.database.openSession(options)
        return {
          ...session,
          lost: false,
          query: async (statement, values) => {
            if (statement.name === 'cast batch' && attempts++ === 1) throw new Error('Connection terminated unexpectedly')
            const rows = await session.query<never>(statement, values)
            if (statement.name !== 'cast batch') await new Promise((resolve) => setTimeout(resolve, 80))
            return rows
          },
        }
      },
    }
    const box = createBallotBox({ database: slow, log: under.log, now: Date.now })
    assert.deepEqual(await castNow(box, { slug: poll, voter, option: 'cats' }), { kind: 'accepted' })
    assert.deepEqual(await castNow(box, { slug: poll, voter, option: 'dogs' }), { kind: 'accepted' })
    assert.equal(attempts, 3)
    assert.equal((await box.ballotOf(poll, voter))?.option, 'dogs')
    await box.drain()
  })

  test('names the ballot that another replica commits while the statement waits for it', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    const voter = randomUUID()
    await withBox(under, async (box) => {
      await box.cast({ slug: poll, voter, option: 'cats', order: 1 })
      const other = await under.database.openSession({ label: 'another replica' })
      await other.query(sql('BEGIN'))
      await other.query(
        sql("UPDATE livetally.ballots SET option = 'dogs', vote_order = 9 WHERE poll_id = $1 AND voter_id = $2"),
        [id, voter],
      )
      const cast = box.cast({ slug: poll, voter, option: 'cats', order: 5 })
      const waiting = sql(
        "SELECT FROM pg_stat_activity WHERE application_name = 'livetally ballot box' AND wait_event_type = 'Lock'",
      )
      while ((await under.database.query(waiting)).length === 0) await new Promise(setImmediate)
      await other.query(sql('COMMIT'))
      await other.close()
      assert.deepEqual(await cast, { kind: 'superseded', ballot: { option: 'dogs', order: 9 } })
    })
    assert.deepEqual(await tallyOf(under.database, id), { dogs: 1 })
  })

  test("keeps the order of a voter's votes, and lets others pass while one of them is in flight", async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    const gate = Promise.withResolvers<void>()
    let batches = 0
    // the first batch takes long
    const slow = interrupted(under.database, async () => {
      if (batches++ === 0) await gate.promise
    })
    const box = createBallotBox({ database: slow, log: under.log, now: Date.now })
    const voter = randomUUID()
    const first = castNow(box, { slug: poll, voter, option: 'cats' })
    while (batches === 0) await new Promise(setImmediate)
    const second = castNow(box, { slug: poll, voter: voter.toUpperCase(), option: 'dogs' })
    assert.deepEqual(await castNow(box, { slug: poll, voter: randomUUID(), option: 'cats' }), { kind: 'accepted' })
    assert.equal(box.queued, 2)
    assert.equal(await box.ballotOf(poll, voter), undefined)
    gate.resolve()
    assert.deepEqual(kinds(await Promise.all([first, second])), ['accepted', 'accepted'])
    assert.deepEqual(await tallyOf(under.database, id), { cats: 1, dogs: 1 })
    await box.drain()
  })

  test('never acknowledges what was not confirmed', async () => {
    const under = use()
    const { slug: poll } = await under.createPoll()
    const openSession: Database['openSession'] = async (options) => ({
      ...(await under.database.openSession(options)),
      query: (statement) => (statement.name === undefined ? Promise.resolve([]) : Promise.reject(new Error('read ECONNRESET'))),
    })
    const mute: Database = { ...under.database, openSession }
    const box = createBallotBox({ database: mute, log: under.log, now: Date.now, giveUpMs: 100 })
    await assert.rejects(castNow(box, { slug: poll, voter: randomUUID(), option: 'cats' }), VoteUnconfirmed)
    const waiting = createBallotBox({ database: mute, log: under.log, now: Date.now })
    const cast = assert.rejects(castNow(waiting, { slug: poll, voter: randomUUID(), option: 'cats' }), VoteUnconfirmed)
    await waiting.drain(AbortSignal.timeout(50))
    await cast
  })

  test('does not call a vote refused whose commit it did not hear of, when its poll has closed by the next try', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    let attempts = 0
    const deaf: Database = {
      ...under.database,
      openSession: async (options) => {
        const session = await under.database.openSession(options)
        return {
          ...session,
          lost: false,
          query: async (statement, values) => {
            const rows = await session.query<never>(statement, values)
            if (statement.name !== 'cast batch' || attempts++ > 0) return rows
            await under.database.query(sql("UPDATE livetally.polls SET state = 'closed' WHERE id = $1"), [id])
            throw new Error('Connection terminated unexpectedly')
          },
        }
      },
    }
    const box = createBallotBox({ database: deaf, log: under.log, now: Date.now })
    await assert.rejects(castNow(box, { slug: poll, voter: randomUUID(), option: 'cats' }), VoteUnconfirmed)
    assert.deepEqual(await tallyOf(under.database, id), { cats: 1 })
    assert.equal((await castNow(box, { slug: poll, voter: randomUUID(), option: 'cats' })).kind, 'closed')
    await box.drain()
  })

  test('says that nothing was written where that is certain', async () => {
    const under = use()
    const { slug: poll } = await under.createPoll()
    const refuses: Database['openSession'][] = [() => Promise.reject(new DatabaseUnavailable('connect ECONNREFUSED'))]
    if (kind === 'postgres') {
      refuses.push((options) => under.database.openSession({ ...options, settings: { default_transaction_read_only: 'on' } }))
    }
    for (const openSession of refuses) {
      const refusing: Database = { ...under.database, openSession }
      const box = createBallotBox({ database: refusing, log: under.log, now: Date.now, giveUpMs: 100 })
      assert.equal((await castNow(box, { slug: poll, voter: randomUUID(), option: 'cats' })).kind, 'unavailable')
      const waiting = createBallotBox({ database: refusing, log: under.log, now: Date.now })
      const cast = castNow(waiting, { slug: poll, voter: randomUUID(), option: 'cats' })
      await waiting.drain(AbortSignal.timeout(50))
      assert.equal((await cast).kind, 'unavailable')
    }
  })

  test('lets a vote wait for a close that is under way, and refuses it then', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    await withBox(under, async (box) => {
      const organiser = await under.database.openSession({ label: 'organiser' })
      await organiser.query(sql('BEGIN'))
      await organiser.query(sql("UPDATE livetally.polls SET state = 'closed' WHERE id = $1"), [id])
      const cast = castNow(box, { slug: poll, voter: randomUUID(), option: 'cats' })
      const waiting = sql(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'livetally ballot box' AND wait_event_type = 'Lock'",
      )
      const isWaiting = async () => (await under.database.query(waiting)).length > 0
      while (box.queued > 0 && !(await isWaiting())) await new Promise(setImmediate)
      await organiser.query(sql('COMMIT'))
      await organiser.close()
      assert.deepEqual(await cast, { kind: 'closed' })
    })
    assert.deepEqual(await tallyOf(under.database, id), {})
  })

  test('does not deadlock when replicas cast votes of the same voters at once', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    const faults: unknown[] = []
    const log = { ...under.log, warn: (fault: unknown) => void faults.push(fault) }
    const boxes = [1, 2].map(() => createBallotBox({ database: under.database, log, now: Date.now, writers: 1 }))
    const voters = Array.from({ length: 100 }, () => randomUUID()).toSorted()
    const castAll = (order: number, option: string) =>
      boxes.map((box) => Promise.all(voters.map((voter) => box.cast({ slug: poll, voter, option, order }))))
    await Promise.all(castAll(1, 'cats'))
    const other = await under.database.openSession({ label: 'other' })
    const hold = sql('SELECT FROM livetally.ballots WHERE poll_id = $1 AND voter_id = ANY ($2) FOR UPDATE')
    const waiting = sql(
      "SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'livetally ballot box' AND wait_event_type = 'Lock'",
    )
    for (let order = 2; order < 6; order++) {
      // somebody has some of the ballots, so that the replicas meet in the middle of their batches
      await other.query(sql('BEGIN'))
      await other.query(hold, [id, voters.slice(40, 50)])
      const cast = castAll(order, order % 2 === 0 ? 'cats' : 'dogs')
      while ((await under.database.query(waiting)).length < 2) await new Promise(setImmediate)
      await other.query(sql('COMMIT'))
      await Promise.all(cast)
    }
    await other.close()
    await Promise.all(boxes.map((box) => box.drain()))
    assert.deepEqual(faults, [])
    assert.deepEqual(await tallyOf(under.database, id), { dogs: voters.length })
  })

  test('gives every writer a slot of its own', async () => {
    const under = use()
    const { id, slug: poll } = await under.createPoll()
    const boxes = Array.from({ length: 4 }, () =>
      createBallotBox({ database: under.database, log: under.log, now: Date.now, writers: 2, batchMax: 25 }),
    )
    await Promise.all(
      boxes.flatMap((box) => Array.from({ length: 50 }, () => castNow(box, { slug: poll, voter: randomUUID(), option: 'cats' }))),
    )
    const slots = await under.database.query<{ slot: number }>(
      sql('SELECT DISTINCT slot FROM livetally.counters WHERE poll_id = $1 ORDER BY slot'),
      [id],
    )
    assert.equal(slots.length, 8)
    assert.ok(slots.every(({ slot }) => slot < 64))
    await Promise.all(boxes.map((box) => box.drain()))
    assert.deepEqual(await tallyOf(under.database, id), { cats: 200 })
  })
})
