import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { createBallotBox } from '../ballots/ballot-box.ts'
import { onEachDatabase } from '../../e2e/support/databases-under-test.ts'
import { createTicketStore, ticketVoter } from './ticket-store.ts'

onEachDatabase('the ticket store', (use) => {
  test('issues tickets that vote once each, and stores none of them', async () => {
    const { database, log, createPoll } = use()
    const { slug: poll } = await createPoll({ policy: 'ticket' })
    const store = createTicketStore(database)
    const issued = await store.issue(poll, 25)
    assert.ok(issued.kind === 'issued')
    assert.equal(new Set(issued.tickets).size, 25)
    const [ticket = ''] = issued.tickets
    assert.match(ticket, /^[\w-]{22}$/)
    const dump = JSON.stringify(await database.query({ text: 'SELECT * FROM livetally.tickets' }))
    assert.ok(issued.tickets.every((each) => !dump.includes(each)))

    const box = createBallotBox({ database, log, now: Date.now })
    let order = 0
    const cast = (voter: string, option: string) => box.cast({ slug: poll, voter, option, order: ++order })
    assert.deepEqual(await cast(ticketVoter(poll, ticket), 'cats'), { kind: 'accepted' })
    assert.deepEqual(await cast(ticketVoter(poll, ticket), 'dogs'), { kind: 'accepted' })
    assert.deepEqual(await cast(ticketVoter(poll, 'guessed'), 'cats'), { kind: 'no-ticket' })
    assert.deepEqual(await cast(randomUUID(), 'cats'), { kind: 'no-ticket' })
    await box.drain()
  })

  test('knows a good ticket, for its own poll alone', async () => {
    const { database, createPoll } = use()
    const store = createTicketStore(database)
    const [one, two] = [await createPoll({ policy: 'ticket' }), await createPoll({ policy: 'ticket' })]
    const issued = await store.issue(one.slug, 1)
    const ticket = issued.kind === 'issued' ? (issued.tickets[0] ?? '') : ''
    assert.deepEqual(
      [await store.isGood(one.slug, ticket), await store.isGood(two.slug, ticket), await store.isGood(one.slug, '')],
      [true, false, false],
    )
    assert.match(ticketVoter(one.slug, ticket), /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    assert.notEqual(ticketVoter(one.slug, ticket), ticketVoter(two.slug, ticket))
  })

  test('a crowd that comes with tickets costs two queries', async () => {
    const { database, createPoll } = use()
    const { slug } = await createPoll({ policy: 'ticket' })
    const issued = await createTicketStore(database).issue(slug, 100)
    const tickets = issued.kind === 'issued' ? [...issued.tickets, 'made-up', 'also-made-up'] : []
    let queries = 0
    const query: typeof database.query = (statement, values) => {
      queries += 1
      return database.query(statement, values)
    }
    const store = createTicketStore({ ...database, query })
    const good = await Promise.all(tickets.map((ticket) => store.isGood(slug, ticket)))
    assert.deepEqual(
      good,
      tickets.map((_, index) => index < 100),
    )
    assert.equal(queries, 2)
  })

  test('issues none where they would mean nothing', async () => {
    const { database, createPoll } = use()
    const store = createTicketStore(database)
    assert.deepEqual(await store.issue((await createPoll()).slug, 1), { kind: 'no-tickets-here' })
    assert.deepEqual(await store.issue('nowhere', 1), { kind: 'unknown-poll' })
  })
})
