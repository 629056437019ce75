import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { Snapshot } from '../../shared/protocol/frames.ts'
import { isNewer } from '../../shared/protocol/order.ts'
import { onEachDatabase } from '../../e2e/support/databases-under-test.ts'
import type { Queryable } from '../database/database.ts'
import { createPollStore } from '../polls/poll-store.ts'
import { type TallyReader, createTallyReader } from './tally-reader.ts'

const sql = (text: string) => ({ text })

const vote = async (database: Queryable, pollId: number, option: string) => {
  await database.query(sql('INSERT INTO livetally.ballots (poll_id, voter_id, option) VALUES ($1, $2, $3)'), [
    pollId,
    randomUUID(),
    option,
  ])
}

const slugs = (snapshots: readonly Snapshot[]) => snapshots.map((snapshot) => snapshot.poll.poll)

const withStore = async (database: Parameters<typeof createTallyReader>[0], work: (store: TallyReader) => Promise<void>) => {
  const store = createTallyReader(database)
  try {
    await work(store)
  } finally {
    await store.close()
  }
}

onEachDatabase('the tally store', (use, kind) => {
  test('reads everything at first and then only what changed', async () => {
    const { database, createPoll } = use()
    const [quiet, busy] = [await createPoll(), await createPoll()]
    await withStore(database, async (store) => {
      const first = slugs(await store.readChanges())
      assert.ok(first.includes(quiet.slug) && first.includes(busy.slug))
      assert.deepEqual(await store.readChanges(), [])
      await vote(database, busy.id, 'cats')
      const [changed, ...others] = await store.readChanges()
      assert.deepEqual(changed?.tally.counts, { cats: 1, dogs: 0 })
      assert.deepEqual(others, [])
      assert.deepEqual(await store.readChanges(), [])
    })
  })

  test('yields frames of the protocol, the same bytes however they were read and through however many slots they were counted', async () => {
    const { database, createPoll } = use()
    const { id, slug } = await createPoll({ closesAt: new Date(Date.now() + 3_600_000) })
    await withStore(database, async (store) => {
      await store.readChanges()
      for (const slot of ['7', '9']) {
        await database.withTransaction(async (transaction) => {
          await transaction.query(sql("SELECT set_config('livetally.slot', $1, true)"), [slot])
          await vote(transaction, id, 'dogs')
        })
      }
      const [changed] = await store.readChanges()
      assert.deepEqual(Snapshot.parse(changed), changed)
      assert.deepEqual(changed?.tally.counts, { cats: 0, dogs: 2 })
      const bytes = JSON.stringify(changed)
      assert.equal(JSON.stringify(await store.read(slug)), bytes)
      assert.ok((await store.readAll()).some((snapshot) => JSON.stringify(snapshot) === bytes))
      assert.ok(store.known().some((snapshot) => JSON.stringify(snapshot) === bytes))
      await withStore(database, async (other) => {
        assert.ok((await other.readChanges()).some((snapshot) => JSON.stringify(snapshot) === bytes))
      })
      assert.equal(await store.read('nowhere'), undefined)
    })
  })

  test('sees an edit as a new version', async () => {
    const { database, createPoll } = use()
    const { id, slug } = await createPoll()
    await vote(database, id, 'cats')
    await withStore(database, async (store) => {
      const before = (await store.readChanges()).find((snapshot) => snapshot.poll.poll === slug)
      await database.query(sql("UPDATE livetally.polls SET state = 'closed' WHERE id = $1"), [id])
      const [after] = await store.readChanges()
      assert.equal(after?.poll.state, 'closed')
      assert.equal(after.tally.version, (before?.tally.version ?? 0) + 1)
    })
  })

  test('gives a definition a place of its own, which an edit and a reset move on, and votes do not', async () => {
    const { database, createPoll } = use()
    const polls = createPollStore(database)
    const { id, slug } = await createPoll()
    await withStore(database, async (store) => {
      const place = async () => {
        await store.readChanges()
        const poll = (await store.read(slug))?.poll
        assert.deepEqual(store.known().find((snapshot) => snapshot.poll.poll === slug)?.poll, poll, 'the same on every way')
        return { epoch: poll?.epoch ?? -1, version: poll?.version ?? -1 }
      }
      const first = await place()
      await vote(database, id, 'cats')
      assert.deepEqual(await place(), first)
      await polls.edit(slug, { state: 'closed' })
      const closed = await place()
      assert.ok(isNewer(closed, first))
      await polls.reset(slug)
      assert.ok(isNewer(await place(), closed))
    })
  })

  test('keeps hidden counts to itself until the poll is closed, save for a voter who may see them', async () => {
    const { database, createPoll } = use()
    const polls = createPollStore(database)
    for (const visibility of ['after-vote', 'after-close'] as const) {
      const { id, slug } = await createPoll({ visibility })
      await vote(database, id, 'cats')
      await withStore(database, async (store) => {
        const hidden = (await store.readChanges()).find((snapshot) => snapshot.poll.poll === slug)
        assert.equal(hidden?.poll.resultsVisible, false)
        assert.equal(hidden.tally.total, 1)
        assert.ok(!JSON.stringify(hidden.tally).includes('cats'))
        const revealed = await store.read(slug, { revealed: true })
        assert.deepEqual(revealed?.tally.counts, visibility === 'after-vote' ? { cats: 1, dogs: 0 } : undefined)
        await polls.edit(slug, { state: 'closed' })
        const [shown] = await store.readChanges()
        assert.deepEqual([shown?.poll.resultsVisible, shown?.tally.counts], [true, { cats: 1, dogs: 0 }])
      })
    }
  })

  test('leaves votes for options that are no longer offered out of counts and total, until they are offered again', async () => {
    const { database, createPoll } = use()
    const polls = createPollStore(database)
    const { id, slug, options } = await createPoll()
    await vote(database, id, 'cats')
    await vote(database, id, 'dogs')
    await polls.edit(slug, { options: options.slice(0, 1) })
    await withStore(database, async (store) => {
      const read = async () => (await store.read(slug))?.tally
      assert.deepEqual([(await read())?.counts, (await read())?.total], [{ cats: 1 }, 1])
      await polls.edit(slug, { options })
      assert.deepEqual([(await read())?.counts, (await read())?.total], [{ cats: 1, dogs: 1 }, 2])
    })
  })

  test('reads a poll whole when its epoch rises, and forgets a removed one', async () => {
    const { database, createPoll } = use()
    const polls = createPollStore(database)
    const { id, slug } = await createPoll()
    await vote(database, id, 'cats')
    await withStore(database, async (store) => {
      await store.readChanges()
      // a repair may delete rows, which no query for changed rows can find
      await database.withTransaction(async (transaction) => {
        await transaction.query(sql('DELETE FROM livetally.counters WHERE poll_id = $1'), [id])
        await transaction.query(sql('UPDATE livetally.polls SET epoch = epoch + 1 WHERE id = $1'), [id])
      })
      const [repaired] = await store.readChanges()
      assert.deepEqual([repaired?.tally.epoch, repaired?.tally.counts], [2, { cats: 0, dogs: 0 }])
      store.takeRemoved()
      await polls.remove(slug)
      assert.deepEqual(await store.readChanges(), [])
      assert.deepEqual([...store.takeRemoved()], [[slug, 2]])
      assert.deepEqual([...store.takeRemoved()], [])
      assert.ok(!slugs(store.known()).includes(slug))
      await createPoll({ slug })
      const [again] = await store.readChanges()
      assert.deepEqual([again?.tally.epoch, again?.tally.total], [3, 0])
      await polls.remove(slug)
      await withStore(database, async (fresh) => {
        await fresh.readChanges()
        assert.equal(fresh.takeRemoved().get(slug), 3, 'of a name that was removed twice, the later epoch')
      })
    })
  })

  test('copes with transaction ids from the future, as a restored dump has them', async () => {
    const { database, createPoll } = use()
    const { id, slug } = await createPoll()
    await vote(database, id, 'cats')
    await database.query(sql("UPDATE livetally.counters SET xid = '9000000000' WHERE poll_id = $1"), [id])
    await withStore(database, async (store) => {
      await store.readChanges()
      assert.deepEqual(await store.readChanges(), [])
      await vote(database, id, 'cats')
      assert.deepEqual(
        (await store.readChanges()).map((snapshot) => [snapshot.poll.poll, snapshot.tally.total]),
        [[slug, 2]],
      )
    })
    await database.query(sql('DELETE FROM livetally.counters WHERE poll_id = $1'), [id])
  })

  test('starts new epochs when the database turns out to be another one', async () => {
    const { database, createPoll } = use()
    const { id, slug } = await createPoll()
    await withStore(database, async (store) => {
      await store.readChanges()
    })
    await database.query(sql("UPDATE livetally.origin SET identity = 'as restored'"))
    await vote(database, id, 'cats')
    const epochs: number[] = []
    for (let time = 0; time < 2; time += 1) {
      await withStore(database, async (store) => {
        const read = (await store.readChanges()).find((snapshot) => snapshot.poll.poll === slug)
        epochs.push(read?.tally.epoch ?? 0)
        assert.equal(read?.tally.total, 1)
      })
    }
    assert.ok((epochs[0] ?? 0) > 2, 'far above, since an unknown number of epochs may be lost')
    assert.equal(epochs[1], epochs[0])
    assert.equal((await createPoll()).epoch, epochs[0], 'a poll that is made later begins there')
  })

  if (kind === 'postgres') {
    test('reports a poll as removed that is not there any more once the connection was lost, as after a failover', async () => {
      const { database, createPoll } = use()
      const [kept, lost] = [await createPoll(), await createPoll()]
      await withStore(database, async (store) => {
        await store.readChanges()
        store.takeRemoved()
        await createPollStore(database).remove(lost.slug)
        await database.query(sql('DELETE FROM livetally.removed_polls WHERE slug = $1'), [lost.slug])
        await database.query(
          sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'livetally poller' AND datname = current_database()",
          ),
        )
        // the reader learns of the lost connection before the query or by it
        await store.readChanges().catch(() => {})
        await store.readChanges()
        const removed = store.takeRemoved()
        assert.deepEqual([removed.get(lost.slug), removed.get(kept.slug)], [lost.epoch, undefined])
      })
    })

    test('reports the later poll of a name as removed when a failover lost it and kept the removal of the earlier one', async () => {
      const { database, createPoll } = use()
      const earlier = await createPoll()
      const polls = createPollStore(database)
      await withStore(database, async (store) => {
        await polls.remove(earlier.slug)
        const later = await createPoll({ slug: earlier.slug })
        await store.readChanges()
        store.takeRemoved()
        await polls.remove(later.slug)
        await database.query(sql('DELETE FROM livetally.removed_polls WHERE poll_id = $1'), [later.id])
        await database.query(
          sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'livetally poller' AND datname = current_database()",
          ),
        )
        // the reader learns of the lost connection before the query or by it
        await store.readChanges().catch(() => {})
        await store.readChanges()
        assert.equal(store.takeRemoved().get(later.slug), later.epoch)
      })
    })

    test('misses nothing that commits out of order, nor behind a transaction that stays open', async () => {
      const { database, createPoll } = use()
      const [early, late] = [await createPoll(), await createPoll()]
      const [slow, idle] = [await database.openSession({ label: 'slow' }), await database.openSession({ label: 'idle' })]
      await withStore(database, async (store) => {
        await idle.query(sql('BEGIN'))
        await idle.query(sql('SELECT pg_current_xact_id()'))
        await slow.query(sql('BEGIN'))
        await vote(slow, early.id, 'cats')
        await vote(database, late.id, 'dogs')
        await store.readChanges()
        await vote(database, late.id, 'dogs')
        assert.deepEqual(slugs(await store.readChanges()), [late.slug])
        await slow.query(sql('COMMIT'))
        const [seen, ...others] = await store.readChanges()
        assert.deepEqual([seen?.poll.poll, seen?.tally.total, others.length], [early.slug, 1, 0])
        assert.deepEqual(await store.readChanges(), [])
      })
      await Promise.all([slow.close(), idle.close()])
    })

    test('ends up with the recount after writers of every kind have raced it, never going backwards', async () => {
      const { database, createPoll } = use()
      const polls = [await createPoll(), await createPoll()]
      await withStore(database, async (store) => {
        const seen = new Map<string, number>()
        let writing = true
        const reading = (async () => {
          for (let last = false; !last;) {
            last = !writing
            for (const { poll, tally } of await store.readChanges()) {
              assert.ok(tally.version > (seen.get(poll.poll) ?? 0), 'a version went backwards')
              seen.set(poll.poll, tally.version)
            }
          }
        })()
        const write = async (n: number) => {
          const session = await database.openSession({ label: 'writer' })
          for (let i = 0; i < 60; i++) {
            const poll = polls[i % 2]
            await session.query(sql('BEGIN'))
            if (poll !== undefined) await vote(session, poll.id, (i + n) % 3 > 0 ? 'cats' : 'dogs')
            if (i % 5 === 0) await session.query(sql('SELECT pg_sleep(0.004)'))
            await session.query(sql(i % 7 === 0 ? 'ROLLBACK' : 'COMMIT'))
          }
          await session.close()
        }
        await Promise.all(Array.from({ length: 8 }, (_, n) => write(n)))
        writing = false
        await reading
        for (const { id, slug } of polls) {
          const [row] = await database.query<{ n: string }>(
            sql('SELECT count(*) AS n FROM livetally.ballots WHERE poll_id = $1'),
            [id],
          )
          assert.equal(store.known().find(({ poll }) => poll.poll === slug)?.tally.total, Number(row?.n))
        }
      })
    })

    test('reads everything again after its connection was cut', async () => {
      const { database, createPoll } = use()
      const { slug } = await createPoll()
      await withStore(database, async (store) => {
        await store.readChanges()
        await database.query(
          sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'livetally poller'"),
        )
        // the reader learns of the lost connection before the query or by it
        const again = await store.readChanges().catch(async () => await store.readChanges())
        assert.ok(slugs(again).includes(slug))
      })
    })
  }
})
