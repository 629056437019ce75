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
  const play = async (database: Database, steps: readonly Step[], ordersOf: 'the page' | 'the edge') => {
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
      )
      const body = JSON.stringify(ordersOf === 'the page' ? { option, order: index + 1 } : { option })
      const answered = cast({ poll: 'pets', body, cookie, isSecure: false, requestId: `${index}` }, () => awaited)
      all.push(answered)
      const answer = await Promise.race([answered, ...(waits ? [] : [wait(PATIENCE_MS)])])
      awaited = false
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

  const check = async (database: Database, ordersOf: 'the page' | 'the edge', adapt: (step: Step) => Step = (each) => each) => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 7 }), async (steps) => {
        const { sent, ballot } = await play(database, steps.map(adapt), ordersOf)
        const told = JSON.stringify({ sent, ballot })
        assert.ok(mayStand(sent).includes(ballot), told)
        if (ordersOf === 'the page')
          assert.ok(
            sent.every(({ status }) => status === 200 || status === 'no answer'),
            told,
          )
      }),
      { numRuns: 40, endOnFailure: false },
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
})

describe('a vote that waits in a backend that was stopped', () => {
  const POLL = { poll: 'pets', question: 'Which?', options: OPTIONS.map((id) => ({ id, label: id })) }
  const votesOf = async ({ child }: Running) => {
    const { metricsPort } = await child.logged((line) => line.msg === 'listening')
    const text = await (await fetch(`http://127.0.0.1:${Number(metricsPort)}/metrics`)).text()
    return [...text.matchAll(/^livetally_votes_total\{.*\} (\d+)$/gm)].reduce((sum, [, n]) => sum + Number(n), 0)
  }

  for (const ordered of [false, true]) {
    test(`does not replace a later one when it goes on, ${ordered ? 'ordered by the page' : 'ordered by the edge'}`, async (t) => {
      const cluster = await startCluster({ backends: 2 })
      t.after(() => cluster[Symbol.asyncDispose]())
      const [gateway, stopped, other] = [cluster.gateways[0], ...cluster.backends]
      assert.ok(gateway !== undefined && stopped !== undefined && other !== undefined)
      await cluster.admin('POST', '/api/polls', POLL)
      const { cookie } = await createVoter(other.url, 'pets')
      const headers = { 'content-type': 'application/json', cookie }
      const vote = async (option: string, order: number) =>
        await fetch(`${gateway.url}/api/polls/pets/vote`, {
          method: 'PUT',
          headers,
          body: JSON.stringify(ordered ? { option, order } : { option }),
        })
      assert.equal((await vote('fish', 1)).status, 200)
      // the one that took the vote takes the next one too
      const [first, second] = (await votesOf(stopped)) === 1 ? [stopped, other] : [other, stopped]
      first.child.send('SIGSTOP')
      const given = await vote('cats', 2)
      assert.equal(given.status, 504, await given.text())
      assert.equal((await vote('dogs', 3)).status, 200)
      assert.equal(await votesOf(second), 1)
      first.child.send('SIGCONT')
      while ((await votesOf(first)) < 2) await wait(20)
      const answer = await fetch(`${other.url}/api/polls/pets/vote`, { headers })
      const { ballot } = (await answer.json()) as { ballot: { option: string; order: number } }
      assert.equal(ballot.option, 'dogs')
      if (ordered) assert.equal(ballot.order, 3)
    })
  }
})
