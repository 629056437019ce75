/** PgBouncer: what votes cost through it, a longer run of histories, and what happens when it is killed while people vote. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { describe, test } from 'node:test'
import { createBallotBox } from '../../backend/ballots/ballot-box.ts'
import { connectPostgres } from '../../backend/database/postgres.ts'
import { calibrate } from '../support/calibration.ts'
import { createVoter, startCluster } from '../support/cluster.ts'
import { mustCountHistories } from '../support/counting-histories.ts'
import { createTestLog, underTest } from '../support/databases-under-test.ts'
import { startPgbouncer } from '../support/pgbouncer-service.ts'
import { createTestDatabase } from '../support/test-database.ts'
import { watch } from '../support/watcher.ts'
import { recordRow } from './rows.ts'

const log = createTestLog()
const { slowness } = await calibrate()
const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN

describe('PgBouncer', () => {
  test('takes in most of the votes that a direct connection takes in, and adds a millisecond or so to one alone', async (t) => {
    await using direct = await createTestDatabase()
    await using session = await startPgbouncer({ url: direct.url, mode: 'session', poolSize: 40 })
    await using transaction = await startPgbouncer({ url: direct.url, mode: 'transaction' })
    const ways = await Promise.all(
      Object.entries({
        direct: { url: direct.url },
        'session mode': { url: session.url },
        'transaction mode': { url: transaction.url, directUrl: direct.url },
      }).map(async ([name, urls]) => {
        const database = await connectPostgres({ ...urls, log })
        const { slug } = await underTest(database, log, undefined, name.replaceAll(' ', '-')).createPoll()
        const box = createBallotBox({ database, log, now: () => performance.now() })
        const cast = async () => {
          const { kind } = await box.cast({ slug, voter: randomUUID(), option: 'cats', order: 1 })
          assert.equal(kind, 'accepted')
        }
        return { name, database, box, cast, perSecond: [] as number[], aloneMs: [] as number[] }
      }),
    )
    for (let round = 0; round < 13; round++) {
      // each is the first as often as the others
      for (const { cast, perSecond, aloneMs } of [...ways.slice(round % 3), ...ways.slice(0, round % 3)]) {
        const startedAt = performance.now()
        const crowd = Array.from({ length: 800 }, async () => {
          for (let vote = 0; vote < 5; vote++) await cast()
        })
        await Promise.all(crowd)
        // the first round opens connections
        if (round > 0) perSecond.push(4_000_000 / (performance.now() - startedAt))
        for (let vote = 0; vote < 20; vote++) {
          const castAt = performance.now()
          await cast()
          if (round > 0) aloneMs.push(performance.now() - castAt)
        }
      }
    }
    const [base, ...others] = ways.map(({ name, perSecond, aloneMs }) => {
      const measured = { name, perSecond: median(perSecond), aloneMs: median(aloneMs) }
      t.diagnostic(`${name}: ${Math.round(measured.perSecond)} votes/s, one alone in ${measured.aloneMs.toFixed(2)} ms`)
      return measured
    })
    for (const { name, perSecond, aloneMs } of others) {
      assert.ok(perSecond > 0.5 * (base?.perSecond ?? NaN), `${name}: ${perSecond} votes/s`)
      assert.ok(aloneMs < (base?.aloneMs ?? NaN) + 10 * slowness, `${name}: ${aloneMs} ms`)
    }
    await Promise.all(ways.map(({ box }) => box.drain()))
    await Promise.all(ways.map(({ database }) => database.close()))
  })

  for (const mode of ['session', 'transaction'] as const) {
    test(`in ${mode} mode counts as a recount does, after every step of many histories`, async () => {
      await using direct = await createTestDatabase()
      await using pooler = await startPgbouncer({ url: direct.url, mode })
      const database = await connectPostgres({ url: pooler.url, directUrl: direct.url, log })
      await mustCountHistories(underTest(database, log, direct.url), 150)
      await database.close()
    })
  }

  test('killed while people vote: votes pause until it is back, none is lost, and nothing is restarted', async () => {
    await using cluster = await startCluster({ backends: 0, gateways: 0 })
    await using pooler = await startPgbouncer({ url: cluster.databaseUrl, mode: 'transaction' })
    const urls = { DATABASE_URL: pooler.url, DATABASE_DIRECT_URL: cluster.databaseUrl }
    await Promise.all([cluster.startBackend(urls), cluster.startBackend(urls)])
    const { url } = await cluster.startGateway()
    const options = ['cats', 'dogs'].map((id) => ({ id, label: id }))
    assert.equal((await cluster.admin('POST', '/api/polls', { poll: 'cats-or-dogs', question: 'Which?', options })).status, 201)
    const screen = await watch(url, ['cats-or-dogs'])

    // voters greeted before, since greeting reads through the pooler as well
    const voters = await Promise.all(Array.from({ length: 400 }, () => createVoter(url, 'cats-or-dogs')))
    let backAt = Infinity
    let acknowledgedAt = performance.now()
    let pauseMs = 0
    let afterMs = Infinity
    const acknowledge = () => {
      const now = performance.now()
      pauseMs = Math.max(pauseMs, now - acknowledgedAt)
      if (now > backAt) afterMs = Math.min(afterMs, now - backAt)
      acknowledgedAt = now
    }
    const voting = voters.map(async (voter, index) => {
      await delay(index * 10)
      // a voter's page sends a vote again until it is acknowledged
      for (let attempt = 0; attempt < 30; attempt++) {
        const { status } = await voter.vote(url, 'cats')
        if (status === 200) return acknowledge()
        assert.equal(status, 503)
        await delay(250)
      }
      assert.fail('a vote was not acknowledged')
    })
    await delay(1_000)
    await pooler.crash()
    await delay(1_500)
    for (const backend of cluster.backends) assert.equal((await fetch(`${backend.url}/ready`)).status, 200)
    await pooler.start()
    backAt = performance.now()
    await Promise.all(voting)
    await screen.until((frame) => frame.type === 'tally' && frame.total === voters.length)
    screen.close()
    assert.ok(afterMs < 2_000 * slowness, `the first vote was acknowledged ${afterMs} ms after the pooler was back`)
    recordRow({
      part: 'PgBouncer',
      failure: 'killed while people vote, back 1.5 s later',
      votesPause: `${(pauseMs / 1_000).toFixed(1)} s, until ${(Math.max(0, afterMs) / 1_000).toFixed(1)} s after it was back`,
      screens: 'as new as the last vote, since backends read them on a connection of their own',
      lost: 'nothing',
    })
  })
})
