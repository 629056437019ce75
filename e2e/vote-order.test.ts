import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Database } from '../backend/database/database.ts'
import { connectPostgres } from '../backend/database/postgres.ts'
import { type BallotBox, createBallotBox } from '../backend/ballots/ballot-box.ts'
import { createVoteCaster } from '../backend/http/cast-vote.ts'
import { createVoterCookie } from '../backend/http/voter-cookie.ts'
import { createPollStore } from '../backend/polls/poll-store.ts'
import { createTicketStore } from '../backend/polls/ticket-store.ts'
import { stampVotes } from '../gateway/api/stamp-votes.ts'
import { wait } from '../shared/lifecycle/clock.ts'
import type { BundledAnswer } from '../shared/protocol/vote-bundle.ts'
import { createStamps } from '../shared/protocol/vote-order.ts'
import { createVoter, startCluster, type Running } from './support/cluster.ts'
import { createTestLog } from './support/databases-under-test.ts'
import { fuzz } from './support/fuzz.ts'
import { createTestDatabase } from './support/test-database.ts'

const OPTIONS = ['cats', 'dogs', 'fish']
const log = createTestLog()

/** What happens to an attempt to commit a batch. */
interface Fault {
  /** How late the answer comes to what a new connection asks before it. */
  readonly openMs: number
  /** How long the statement, and its answer, are under way. */
  readonly beforeMs: number
  readonly afterMs: number
  readonly lost: 'nothing' | 'the statement' | 'the answer'
}
const fault: fc.Arbitrary<Fault> = fc.record({
  openMs: fc.constantFrom(0, 0, 60),
  beforeMs: fc.constantFrom(0, 3, 40),
  afterMs: fc.constantFrom(0, 3, 40),
  lost: fc.constantFrom('nothing', 'nothing', 'the statement', 'the answer'),
})

interface Step {
  readonly option: string
  readonly backend: number
  readonly edge: number
  /** How far the wall clock of that edge jumps before this vote. */
  readonly jumpMs: number
  /** Whether the voter waits for the answer, or gives up and votes again. */
  readonly waits: boolean
  readonly faults: readonly Fault[]
}
const step = fc.record({
  option: fc.constantFrom(...OPTIONS),
  backend: fc.nat({ max: 1 }),
  edge: fc.nat({ max: 1 }),
  jumpMs: fc.constantFrom(0, 0, -3_000, 3_000, -60_000),
  waits: fc.boolean(),
  faults: fc.array(fault, { maxLength: 2 }),
})
const PATIENCE_MS = 15

/** The database over a bad line: each attempt to commit a batch meets the next fault, until there are none. */
function overBadLine(database: Database, faults: Fault[]): Database {
  return {
    ...database,
    openSession: async (options) => {
      const session = await database.openSession(options)
      return {
        ...session,
        lost: false,
        query: async (statement, values) => {
          if (statement.name !== 'cast batch') {
            const rows = await session.query<never>(statement, values)
            await wait(faults[0]?.openMs ?? 0)
            return rows
          }
          const { beforeMs, afterMs, lost } = faults.shift() ?? NO_FAULT
          await wait(beforeMs)
          if (lost === 'the statement') throw new Error('Connection terminated unexpectedly')
          const rows = await session.query<never>(statement, values)
          await wait(afterMs)
          if (lost === 'the answer') throw new Error('Connection terminated unexpectedly')
          return rows
        },
      }
    },
  }
}
const NO_FAULT: Fault = { openMs: 0, beforeMs: 0, afterMs: 0, lost: 'nothing' }

describe('the ballot is the last acknowledged vote or a later one without an answer', () => {
  const scene = async (t: { after(work: () => Promise<void>): void }) => {
    const created = await createTestDatabase()
    const database = await connectPostgres({ url: created.url, log })
    t.after(async () => {
      await database.close()
      await created.drop()
    })
    const options = OPTIONS.map((id) => ({ id, label: id }))
    await createPollStore(database).create({ slug: 'pets', question: 'Which?', options })
    return database
  }

  /** Lets one voter take the steps, and says what happened to each vote and which ballot stands in the end. */
  const play = async (database: Database, steps: readonly Step[], ordersOf: 'the page' | 'the edge', seemsToWait: boolean) => {
    const offsets = [0, 0]
    const voters = createVoterCookie({ secret: 'a secret', date: Date.now })
    const cookie = voters.issue(false).split(';', 1)[0] ?? ''
    const faults: Fault[][] = [[], []]
    const boxes: BallotBox[] = []
    const casters = faults.map((own) => {
      const ballotBox = createBallotBox({ database: overBadLine(database, own), log, now: () => performance.now() })
      boxes.push(ballotBox)
      const [stamp, tickets] = [createStamps(Date.now), createTicketStore(database)]
      return createVoteCaster({ ballotBox, tickets, voters, stamp, log })
    })
    const stamps = offsets.map((_, edge) => createStamps(() => Date.now() + (offsets[edge] ?? 0)))
    const sent: { readonly option: string; status: number | 'no answer' }[] = []
    const all: Promise<BundledAnswer>[] = []
    for (const [index, { option, backend, edge, jumpMs, waits, faults: next }] of steps.entries()) {
      offsets[edge] = (offsets[edge] ?? 0) + jumpMs
      faults[backend]?.push(...next)
      let awaited = true
      const cast = stampVotes(
        async (vote) => (await casters[backend]?.castAll([vote]))?.[0] ?? assert.fail('no answer'),
        stamps[edge] ?? Date.now,
        { isRecent: () => false },
      )
      const body = JSON.stringify(ordersOf === 'the page' ? { option, order: index + 1 } : { option })
      const answered = cast({ poll: 'pets', body, cookie, isSecure: false, requestId: `${index}` }, () => awaited)
      all.push(answered)
      const answer = await Promise.race([answered, ...(waits ? [] : [wait(PATIENCE_MS)])])
      awaited = seemsToWait
      sent.push({ option, status: answer?.status ?? 'no answer' })
    }
    await Promise.all(all)
    const voter = voters.read(cookie, false)
    const ballot = voter.kind === 'known' ? await boxes[0]?.ballotOf('pets', voter.voter) : undefined
    await Promise.all(boxes.map((box) => box.drain()))
    return { sent, ballot: ballot?.option }
  }

  const mayStand = (sent: Awaited<ReturnType<typeof play>>['sent']) => {
    const acknowledged = sent.findLastIndex(({ status }) => status === 200)
    const later = sent.slice(acknowledged + 1).filter(({ status }) => status === 'no answer')
    return [sent[acknowledged]?.option, ...later.map(({ option }) => option)]
  }

  const check = async (
    database: Database,
    ordersOf: 'the page' | 'the edge',
    adapt: (step: Step) => Step = (each) => each,
    { seemsToWait = false } = {},
  ) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 7 }), async (steps) => {
        const { sent, ballot } = await play(database, steps.map(adapt), ordersOf, seemsToWait)
        const told = JSON.stringify({ sent, ballot })
        assert.ok(mayStand(sent).includes(ballot), told)
        if (ordersOf === 'the page')
          assert.ok(
            sent.every(({ status }) => status === 200 || status === 'no answer'),
            told,
          )
      }),
      { ...fuzz(25), endOnFailure: false },
    )
  }

  test('where the page orders its votes, whatever edges and backends they pass and whatever their clocks do', async (t) => {
    await check(await scene(t), 'the page')
  })

  test('where one edge orders them by their arrival, whatever its clock does', async (t) => {
    await check(await scene(t), 'the edge', (each) => ({ ...each, edge: 0 }))
  })

  test('where two edges order them and the voter waits for each answer, whatever the clocks do', async (t) => {
    await check(await scene(t), 'the edge', (each) => ({ ...each, waits: true }))
  })

  test('where two edges with one clock order them, and nobody notices that the voter has given up', async (t) => {
    await check(await scene(t), 'the edge', (each) => ({ ...each, jumpMs: 0 }), { seemsToWait: true })
  })
})

const POLL = { poll: 'pets', question: 'Which?', options: OPTIONS.map((id) => ({ id, label: id })) }

/** How many votes a backend has judged. */
async function votesOf({ child }: Running): Promise<number> {
  const { metricsPort } = await child.logged((line) => line.msg === 'listening')
  const text = await (await fetch(`http://127.0.0.1:${Number(metricsPort)}/metrics`)).text()
  return [...text.matchAll(/^livetally_votes_total\{.*\} (\d+)$/gm)].reduce((sum, [, n]) => sum + Number(n), 0)
}

/** A voter whose requests may carry an order, at any gateway or backend. */
async function createCountingVoter(url: string) {
  const headers = { 'content-type': 'application/json', cookie: (await createVoter(url, 'pets')).cookie }
  return {
    vote: async (at: string, vote: { option: string; order?: number }, signal: AbortSignal | null = null) => {
      const body = JSON.stringify(vote)
      const answer = await fetch(`${at}/api/polls/pets/vote`, { method: 'PUT', headers, body, signal })
      return { status: answer.status, ...((await answer.json()) as { order: number; type?: string; ballot?: object }) }
    },
    ballot: async () => {
      const answer = await fetch(`${url}/api/polls/pets/vote`, { headers })
      return ((await answer.json()) as { ballot: { option: string; order: number } }).ballot
    },
    view: async () => (await (await fetch(`${url}/api/polls/pets`, { headers })).json()) as { ballot: object },
  }
}

describe('the order of votes in the API', () => {
  test('is the one that the client gives, and is told with every answer', async (t) => {
    const cluster = await startCluster()
    t.after(() => cluster[Symbol.asyncDispose]())
    const [gateway = '', backend = ''] = [cluster.gateways[0]?.url, cluster.backends[0]?.url]
    await cluster.admin('POST', '/api/polls', POLL)
    const { vote, ballot, view } = await createCountingVoter(gateway)
    assert.equal(await ballot(), null)
    assert.deepEqual(await vote(gateway, { option: 'cats', order: 5 }), { status: 200, poll: 'pets', option: 'cats', order: 5 })
    assert.deepEqual(await ballot(), { option: 'cats', order: 5 })
    assert.deepEqual((await view()).ballot, { option: 'cats', order: 5 })
    const { status, type, order, ballot: standing } = await vote(gateway, { option: 'dogs', order: 5 })
    assert.deepEqual([status, type, order, standing], [409, '/problems/superseded', 5, { option: 'cats', order: 5 }])

    // a vote that repeats the option of a ballot with a higher order is told that order, above which the next one has to be
    assert.deepEqual(await vote(gateway, { option: 'cats', order: 3 }), { status: 200, poll: 'pets', option: 'cats', order: 5 })

    // without an order the vote is the voter's latest, whichever order stands
    assert.ok((await vote(gateway, { option: 'dogs' })).order > 1e15)
    const highest = 2 ** 52
    assert.equal((await vote(gateway, { option: 'cats', order: highest })).status, 200)
    assert.equal((await vote(gateway, { option: 'dogs' })).order, highest + 1)
    assert.equal((await vote(backend, { option: 'fish' })).order, highest + 2)
    assert.deepEqual(await ballot(), { option: 'fish', order: highest + 2 })
    const { vote: voteOfAnother } = await createCountingVoter(gateway)
    assert.ok(
      (await voteOfAnother(gateway, { option: 'fish' })).order < highest,
      'the orders of one voter are of no matter to others',
    )

    const stranger = await fetch(`${gateway}/api/polls/pets/vote`)
    assert.match(stranger.headers.get('set-cookie') ?? '', /^voter=/)
    assert.deepEqual(await stranger.json(), { poll: 'pets', ballot: null })
    assert.equal((await fetch(`${gateway}/api/polls/nowhere/vote`)).status, 404)
  })

  for (const by of ['gateway', 'backend'] as const) {
    test(`is not raised by a ${by} for a vote whose sender has gone`, async (t) => {
      const cluster = await startCluster()
      t.after(() => cluster[Symbol.asyncDispose]())
      const [gateway, backend] = [cluster.gateways[0], cluster.backends[0]]
      assert.ok(gateway !== undefined && backend !== undefined)
      await cluster.admin('POST', '/api/polls', POLL)
      const { vote, ballot } = await createCountingVoter(gateway.url)
      assert.equal((await vote(gateway.url, { option: 'fish', order: 1 })).status, 200)
      const database = await connectPostgres({ url: cluster.databaseUrl, log, migrations: false })
      t.after(() => database.close())
      const other = await database.openSession({ label: 'another backend' })
      await other.query({ text: 'BEGIN' })
      await other.query({ text: "UPDATE livetally.ballots SET option = 'dogs', vote_order = 9000000000000000" })

      const leaving = new AbortController()
      const given = vote(by === 'gateway' ? gateway.url : backend.url, { option: 'cats' }, leaving.signal)
      const waiting = "SELECT FROM pg_stat_activity WHERE application_name = 'livetally ballot box' AND wait_event_type = 'Lock'"
      while ((await database.query({ text: waiting })).length === 0) await wait(10)
      leaving.abort()
      await assert.rejects(given)
      // by the time they answer this they have seen the other connection close
      for (const { url } of [gateway, backend]) await (await fetch(`${url}/live`)).text()
      await other.query({ text: 'COMMIT' })
      await other.close()
      while ((await votesOf(backend)) < 2) await wait(10)
      await wait(100)
      assert.deepEqual(await ballot(), { option: 'dogs', order: 9e15 })
    })
  }
})

describe('a vote that waits in a backend that was stopped', () => {
  for (const ordered of [false, true]) {
    test(`does not replace a later one when it goes on, ${ordered ? 'ordered by the page' : 'ordered by the edge'}`, async (t) => {
      const cluster = await startCluster({ backends: 2 })
      t.after(() => cluster[Symbol.asyncDispose]())
      const [stopped, other] = cluster.backends
      assert.ok(stopped !== undefined && other !== undefined)
      // each backend behind a gateway of its own, which tries no other one
      const through = await cluster.startGateway({ BACKEND_URL: stopped.url })
      const beside = await cluster.startGateway({ BACKEND_URL: other.url })
      await cluster.admin('POST', '/api/polls', POLL)
      const voter = await createCountingVoter(other.url)
      const vote = async (at: Running, option: string, order: number) =>
        (await voter.vote(at.url, ordered ? { option, order } : { option })).status
      assert.equal(await vote(through, 'fish', 1), 200)
      stopped.child.send('SIGSTOP')
      assert.equal(await vote(through, 'cats', 2), 504)
      assert.equal(await vote(beside, 'dogs', 3), 200)
      stopped.child.send('SIGCONT')
      while ((await votesOf(stopped)) < 2) await wait(20)
      const ballot = await voter.ballot()
      assert.equal(ballot.option, 'dogs')
      if (ordered) assert.equal(ballot.order, 3)
    })
  }
})
