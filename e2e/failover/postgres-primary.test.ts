/** What voters and screens see when the primary is replaced: by a standby that lacks votes, in a switchover, by a backup. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { after, before, describe, test } from 'node:test'
import { Redis } from 'ioredis'
import { connectPostgres } from '../../backend/database/postgres.ts'
import { calibrate } from '../support/calibration.ts'
import { createVoter, startCluster, type Cluster, type Running } from '../support/cluster.ts'
import { createTestLog } from '../support/databases-under-test.ts'
import { openFaultyLink } from '../support/faulty-link.ts'
import { openMovingAddress, type MovingAddress } from '../support/postgres-address.ts'
import type { PostgresService } from '../support/postgres-service.ts'
import { ask, copyPostgres, placeForServers, startPrimary } from '../support/postgres-standby.ts'
import { startRedis, type RedisService } from '../support/redis-service.ts'
import { watch, type Watcher } from '../support/watcher.ts'
import { createTallyLedger } from '../chaos/tally-ledger.ts'
import { recordRow } from './rows.ts'

const POLL = {
  poll: 'cats-or-dogs',
  question: 'Cats or dogs?',
  options: [
    { id: 'cats', label: 'Cats' },
    { id: 'dogs', label: 'Dogs' },
  ],
}
const { poll: slug } = POLL
const { slowness } = await calibrate()
/** How soon after the end of a promotion a vote has to be acknowledged, in ms, and the screens have to be right after that. */
const RESUME_MS = 2_000
const AT_ONCE = 10

describe('the primary', () => {
  let primary: PostgresService
  /** Where there is no server at present. */
  let freePlace: number
  let address: MovingAddress
  let redis: RedisService
  let cluster: Cluster
  let backendPorts: readonly [string, string]
  let screens: readonly Watcher[]
  /** The ballots that the table holds. */
  let total = 0
  let voters = 0
  const cleaning: (() => Promise<void>)[] = []
  const later = <T extends { stop(): Promise<void> }>(service: T) => {
    cleaning.push(() => service.stop())
    return service
  }

  before(async () => {
    primary = later(await startPrimary({ port: await placeForServers() }))
    freePlace = await placeForServers()
    redis = later(await startRedis())
    address = await openMovingAddress(primary.port)
    cleaning.push(() => address[Symbol.asyncDispose]())
    backendPorts = [String(await placeForServers()), String(await placeForServers())]
    const [hosts, single] = urls()
    cluster = await startCluster({ servers: { databaseUrl: hosts, redisUrl: redis.url }, backends: 0, gateways: 0 })
    cleaning.push(() => cluster[Symbol.asyncDispose]())
    await cluster.startBackend({ PORT: backendPorts[0] })
    await cluster.startBackend({ PORT: backendPorts[1], DATABASE_URL: single })
    await Promise.all([cluster.startGateway(), cluster.startGateway()])
    assert.equal((await cluster.admin('POST', '/api/polls', POLL)).status, 201)
    screens = await Promise.all(cluster.gateways.map(({ url }) => watch(url, [slug])))
  })
  after(async () => {
    for (const clean of cleaning.toReversed()) await clean()
  })

  /** Two ways to name the servers: all of them, or an address that moves. */
  const urls = (): [string, string] => {
    const at = (host: string) => primary.url.replace(/127\.0\.0\.1:\d+/, host)
    const hosts = [primary.port, freePlace].map((port) => `127.0.0.1:${port}`).join()
    return [`${at(hosts)}?target_session_attrs=read-write`, at(`127.0.0.1:${address.port}`)]
  }
  const newVoter = async () => {
    const gateway = cluster.gateways[voters % 2]?.url ?? ''
    const option = (voters += 1) % 3 === 0 ? 'cats' : 'dogs'
    const voter = await createVoter(gateway, slug)
    return async () => {
      const answer = await voter.vote(gateway, option)
      if (answer.ok) total += 1
      return answer
    }
  }
  const votes = async (count: number) => {
    for (let left = count; left > 0; left -= AT_ONCE) {
      const answers = await Promise.all(Array.from({ length: Math.min(left, AT_ONCE) }, async () => (await newVoter())()))
      for (const answer of answers) assert.equal(answer.status, 200, await answer.text())
    }
  }
  /** Votes until a vote is acknowledged; resolves to how long that took in ms. */
  const untilAcknowledged = async () => {
    const startedAt = performance.now()
    for (let said = ''; ; await delay(20)) {
      const answer = await (await newVoter())()
      if (answer.status === 200) return performance.now() - startedAt
      said = `${answer.status} ${await answer.text()}`
      assert.ok(performance.now() - startedAt < 30_000, `no vote is acknowledged: ${said}`)
    }
  }
  const newest = () => screens.map((screen) => screen.tallies.at(-1) ?? { epoch: 0, version: 0, total: 0 })
  const shown = () => newest()[0] ?? assert.fail('there is no screen')
  /** Resolves, to how long it took in ms, when all screens show what the table holds. */
  const untilShown = async () => {
    const startedAt = performance.now()
    while (newest().some((tally) => tally.total !== total)) {
      assert.ok(performance.now() - startedAt < 20_000, `of ${total} ballots screens show ${JSON.stringify(newest())}`)
      await delay(5)
    }
    return performance.now() - startedAt
  }
  /** Begins with the tally that was shown before. Votes until its version has come again, and looks at all that was ever shown. */
  const followsTo = async (earlier: { readonly epoch: number; readonly version: number }) => {
    assert.ok(shown().epoch > earlier.epoch, `epoch ${shown().epoch} after ${earlier.epoch}`)
    for (let more = earlier.version - shown().version; more >= 0; more = earlier.version - shown().version) {
      await votes(more + 1)
      await untilShown()
    }
    const ledger = createTallyLedger()
    for (const [index, screen] of screens.entries())
      for (const tally of screen.tallies) assert.equal(ledger.shown(`screen ${index}`, tally), undefined)
  }
  const readiness = async ({ url }: Running) => {
    const answer = await fetch(`${url}/ready`)
    const body = (await answer.json()) as { readonly checks: { readonly postgres: { readonly error?: string } } }
    return { status: answer.status, error: body.checks.postgres.error ?? '' }
  }
  const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`

  test('dies, and a standby that lacks votes is promoted: every screen shows what that holds, in a new epoch', async (t) => {
    const link = await openFaultyLink(primary.port)
    cleaning.push(() => link[Symbol.asyncDispose]())
    const lagging = primary.url.replace(`:${primary.port}/`, `:${link.port}/`)
    const standby = later(await copyPostgres(lagging, { follows: true, port: freePlace }))
    await standby.start()
    await votes(20)
    await caughtUp(primary)
    link.blackHole()
    const kept = total
    await votes(20)
    await untilShown()
    const lost = shown()

    await primary.crash()
    address.move(standby.port)
    await standby.promote()
    ;[freePlace, primary, total] = [primary.port, standby, kept]
    const votedMs = await untilAcknowledged()
    const shownMs = await untilShown()
    t.diagnostic(`a vote was acknowledged after ${Math.round(votedMs)} ms and shown ${Math.round(shownMs)} ms later`)
    await followsTo(lost)
    assert.ok(votedMs <= RESUME_MS * slowness, `${votedMs} ms`)
    assert.ok(shownMs <= RESUME_MS * slowness, `${shownMs} ms`)
    recordRow({
      part: 'Postgres',
      failure: 'the primary dies, and an asynchronous standby that lacks votes is promoted',
      votesPause: `${seconds(votedMs)} after the promotion ended`,
      screens: `what the new primary holds ${seconds(shownMs)} later`,
      lost: 'what the standby had not received, under a new epoch',
    })
  })

  test('becomes read-only and lives on while a standby is promoted: votes are refused, and it is left', async (t) => {
    const standby = later(await copyPostgres(primary.url, { follows: true, port: freePlace }))
    await standby.start()
    await caughtUp(primary)
    await untilShown()
    const shownBefore = shown()
    const waiting = await Promise.all(Array.from({ length: 8 }, newVoter))
    const logged = () => cluster.backends.map(({ child }) => child.logs.length)
    const lines = logged()

    await ask(primary.url, 'ALTER SYSTEM SET default_transaction_read_only = on')
    await ask(primary.url, 'SELECT pg_reload_conf()')
    for (const answer of await Promise.all(waiting.map((vote) => vote()))) {
      const body = await answer.text()
      assert.deepEqual([answer.status, answer.headers.get('retry-after')], [503, '1'], body)
      assert.match(body, /problems\/unavailable/, 'nothing was written, and that is certain')
    }
    const starting = cluster.startBackend()
    for (const endsAt = performance.now() + 2_000; performance.now() < endsAt; await delay(50)) {
      for (const backend of cluster.backends.slice(0, 2)) {
        const { status, error } = await readiness(backend)
        assert.equal(status, 503, 'it does not flap')
        assert.match(error, /read-only/)
      }
    }
    for (const [index, from] of lines.entries()) {
      // a request that fails has a line of its own
      const said = cluster.backends[index]?.child.logs.slice(from).filter((line) => line['requestId'] === undefined) ?? []
      assert.ok(said.length <= 15, `it says once what is wrong, not ${JSON.stringify(said.map(({ msg }) => msg))}`)
    }

    await standby.promote()
    address.move(standby.port)
    const votedMs = await untilAcknowledged()
    const shownMs = await untilShown()
    t.diagnostic(`a vote was acknowledged after ${Math.round(votedMs)} ms and shown ${Math.round(shownMs)} ms later`)
    for (const vote of waiting) assert.equal((await vote()).status, 200)
    const latecomer = await starting
    for (const backend of cluster.backends)
      await backend.child.answers(`${backend.url}/ready`, { timeoutMs: RESUME_MS * slowness })
    await latecomer.child.stop()
    cluster.backends.pop()
    const left = primary
    ;[freePlace, primary] = [primary.port, standby]
    await untilShown()
    await followsTo(shownBefore)
    const [open] = await ask<{ sessions: string }>(
      left.url,
      "SELECT count(*) AS sessions FROM pg_stat_activity WHERE application_name LIKE 'livetally%'",
    )
    assert.equal(open?.sessions, '0', 'nobody stays with it')
    assert.ok(votedMs <= RESUME_MS * slowness, `${votedMs} ms`)
    recordRow({
      part: 'Postgres',
      failure: 'the primary becomes read-only and lives on, and a standby is promoted',
      votesPause: `${seconds(votedMs)} after the promotion ended; refused meanwhile`,
      screens: `right ${seconds(shownMs)} later`,
      lost: 'nothing',
    })
    await left.stop()
  })

  test('is replaced by a base backup of itself: every screen shows what that holds, in a new epoch', async (t) => {
    const backup = later(await copyPostgres(primary.url, { follows: false, port: freePlace }))
    const kept = total
    await votes(20)
    await untilShown()
    const lost = shown()
    await primary.stop()
    await backup.start()
    address.move(backup.port)
    ;[freePlace, primary, total] = [primary.port, backup, kept]
    const votedMs = await untilAcknowledged()
    const shownMs = await untilShown()
    t.diagnostic(`a vote was acknowledged after ${Math.round(votedMs)} ms and shown ${Math.round(shownMs)} ms later`)
    await followsTo(lost)
    assert.ok(votedMs + shownMs <= 2 * RESUME_MS * slowness, `${votedMs + shownMs} ms`)
    recordRow({
      part: 'Postgres',
      failure: 'a base backup or a snapshot of its volume takes the place of the primary',
      votesPause: `${seconds(votedMs)} after its start`,
      screens: `what the backup holds ${seconds(shownMs)} later`,
      lost: 'what was written since the backup, under a new epoch',
    })
  })

  test('is replaced so while no backend runs: the mark in Redis tells it, once', async (t) => {
    const bus = new Redis(redis.url)
    t.after(() => bus.disconnect())
    const backup = later(await copyPostgres(primary.url, { follows: false, port: freePlace }))
    const kept = total
    await votes(20)
    await untilShown()
    // the mark follows within a second
    await delay(1_500)
    const lost = shown()
    const startOne = () => cluster.startBackend({ PORT: backendPorts[0] })
    const stopAll = async () => {
      for (const { child } of cluster.backends.splice(0)) await child.stop()
    }
    await stopAll()
    const mark = (await bus.get('livetally:mark')) ?? ''
    await primary.stop()
    await backup.start()
    address.move(backup.port)
    ;[freePlace, primary, total] = [primary.port, backup, kept]
    await startOne()
    await untilShown()
    await followsTo(lost)

    // the mark is signed, and one that is played back is behind the epoch it has led to
    const { epoch } = shown()
    await stopAll()
    await bus.set('livetally:mark', mark)
    await startOne()
    await votes(1)
    await untilShown()
    assert.equal(shown().epoch, epoch)
  })

  test('is another database at once when a standby is promoted, however far the log has got there', async (t) => {
    for (const { child } of cluster.backends.splice(0)) await child.stop()
    const standby = later(await copyPostgres(primary.url, { follows: true, port: freePlace }))
    await standby.start()
    const database = await connectPostgres({ url: urls()[1], log: createTestLog(), migrations: false })
    t.after(() => database.close())
    const epoch = async () => {
      const session = await database.openSession({ label: 'another' })
      const [row] = await session.query<{ epoch: number }>({ text: 'SELECT max(epoch) AS epoch FROM livetally.polls' })
      await session.close()
      return row?.epoch ?? 0
    }
    const epochBefore = await epoch()
    // pages for the checkpoint that follows the promotion, which takes its time
    await ask(primary.url, 'CREATE TABLE other AS SELECT generate_series(1, 20000) AS n')
    await caughtUp(primary)
    await primary.crash()
    await standby.promote()
    // other programs write there before anybody of Livetally comes
    await ask(standby.url, "SELECT pg_logical_emit_message(false, 'test', repeat('x', 1000000))")
    address.move(standby.port)
    assert.ok((await epoch()) > epochBefore)
  })
})

/** Resolves once every standby of the server has what it has. */
async function caughtUp({ url }: PostgresService): Promise<void> {
  const sql = 'SELECT bool_and(flush_lsn >= pg_current_wal_lsn()) AS up FROM pg_stat_replication'
  for (let up = false; !up; await delay(20)) up = (await ask<{ up: boolean | null }>(url, sql))[0]?.up === true
}
