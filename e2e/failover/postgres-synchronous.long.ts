/** Whether acknowledged votes survive a primary that is killed under load while its standby is synchronous, and what that costs. */
import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { after, before, describe, test } from 'node:test'
import { Client } from 'pg'
import { createVoter, startCluster, type Cluster } from '../support/cluster.ts'
import { openMovingAddress, type MovingAddress } from '../support/postgres-address.ts'
import type { PostgresService } from '../support/postgres-service.ts'
import { ask, copyPostgres, placeForServers, startPrimary, type PostgresCopy } from '../support/postgres-standby.ts'
import { startRedis, type RedisService } from '../support/redis-service.ts'
import { watch, type Watcher } from '../support/watcher.ts'
import { createTallyLedger } from '../chaos/tally-ledger.ts'
import { createRandom } from '../chaos/random.ts'
import { recordRow } from './rows.ts'

const slug = 'cats-or-dogs'
const OPTIONS = [
  { id: 'cats', label: 'Cats' },
  { id: 'dogs', label: 'Dogs' },
]
const RUNS = 20
const VOTERS = 30
/** How long the load lasts before the primary is killed, in ms: drawn anew for each run. */
const [LEAST_LOAD_MS, MOST_LOAD_MS] = [200, 1_500]
/** From the primary to the standby, in ms: long enough for votes to be on their way when the primary is killed. */
const WAY_MS = 20
/** What `synchronous_commit` may say with a synchronous standby, and `off` for none. */
const LEVELS = ['off', 'remote_write', 'on', 'remote_apply'] as const
/** How often each of them is measured, and for how long, in ms. */
const [TURNS, TURN_MS] = [6, 2_000]

interface Voter {
  readonly id: string
  readonly cookie: string
  /** The order of the last vote that was acknowledged, and of the last that was cast. */
  acknowledged: number
  cast: number
}

describe('a synchronous standby', () => {
  let primary: PostgresService
  let standby: PostgresCopy
  /** Where the standby follows the primary, from afar. */
  let farAway: MovingAddress
  let redis: RedisService
  let cluster: Cluster
  let voters: Voter[]
  let screens: readonly Watcher[]
  const cleaning: (() => Promise<void>)[] = []
  const later = <T extends { stop(): Promise<void> }>(service: T) => {
    cleaning.push(() => service.stop())
    return service
  }
  const newStandby = async (port: number, origin = farAway.port) => {
    farAway.move(primary.port)
    const url = primary.url.replace(`:${primary.port}/`, `:${origin}/`)
    const copy = later(await copyPostgres(url, { follows: true, port }))
    await copy.start()
    return copy
  }
  /** Acknowledge only what one standby has too, or each commit alone. */
  const setSynchronous = async (level: (typeof LEVELS)[number]) => {
    const names = level === 'off' ? "''" : "'*'"
    await ask(primary.url, `ALTER SYSTEM SET synchronous_standby_names = ${names}`)
    await ask(primary.url, `ALTER SYSTEM SET synchronous_commit = ${level === 'off' ? 'on' : level}`)
    await ask(primary.url, 'SELECT pg_reload_conf()')
    if (level === 'off') return
    const sql = "SELECT count(*) FILTER (WHERE sync_state = 'sync') AS n FROM pg_stat_replication"
    while ((await ask<{ n: string }>(primary.url, sql))[0]?.n !== '1') await delay(20)
  }

  before(async () => {
    primary = later(await startPrimary({ port: await placeForServers() }))
    farAway = await openMovingAddress(primary.port, { delayMs: WAY_MS })
    cleaning.push(() => farAway[Symbol.asyncDispose]())
    standby = await newStandby(await placeForServers())
    redis = later(await startRedis())
    const hosts = `127.0.0.1:${primary.port},127.0.0.1:${standby.port}`
    const databaseUrl = primary.url.replace(`127.0.0.1:${primary.port}`, hosts)
    cluster = await startCluster({ servers: { databaseUrl, redisUrl: redis.url }, backends: 2, gateways: 2 })
    cleaning.push(() => cluster[Symbol.asyncDispose]())
    const poll = { poll: slug, question: 'Cats or dogs?', options: OPTIONS }
    assert.equal((await cluster.admin('POST', '/api/polls', poll)).status, 201)
    screens = await Promise.all(cluster.gateways.map((gateway) => watch(gateway.url, [slug])))
    const url = cluster.gateways[0]?.url ?? ''
    voters = await Promise.all(
      Array.from({ length: VOTERS }, async () => {
        const { cookie } = await createVoter(url, slug)
        const [id] = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/.exec(cookie) ?? assert.fail(`no voter id in ${cookie}`)
        return { id, cookie, acknowledged: 0, cast: 0 }
      }),
    )
  })
  after(async () => {
    for (const clean of cleaning.toReversed()) await clean()
  })

  /** Each voter changes its vote over and over, with rising orders, until told to stop. */
  const load = (onAcknowledged: (tookMs: number) => void = () => {}) => {
    let goesOn = true
    const running = voters.map(async (voter, index) => {
      const { url } = cluster.gateways[index % 2] ?? assert.fail('there is no gateway')
      while (goesOn) {
        const order = (voter.cast += 1)
        const startedAt = performance.now()
        const answer = await fetch(`${url}/api/polls/${slug}/vote`, {
          method: 'PUT',
          headers: { 'content-type': 'application/json', cookie: voter.cookie },
          body: JSON.stringify({ option: OPTIONS[order % 2]?.id, order }),
        }).catch(() => undefined)
        await answer?.body?.cancel()
        if (answer?.status === 200) {
          voter.acknowledged = order
          onAcknowledged(performance.now() - startedAt)
        } else await delay(20)
      }
    })
    return async () => {
      goesOn = false
      await Promise.all(running)
    }
  }
  /** By voter, the order of the vote that a server holds. */
  const ordersIn = async (url: string) => {
    const rows = await ask<{ voter_id: string; vote_order: string }>(url, 'SELECT voter_id, vote_order FROM livetally.ballots')
    return new Map(rows.map((row) => [row.voter_id, Number(row.vote_order)]))
  }

  test('has every acknowledged vote when it is promoted, over twenty runs', { timeout: 900_000 }, async (t) => {
    const pauses: number[] = []
    const shownAfter: number[] = []
    const newestEpochs = () => screens.map((screen) => screen.tallies.at(-1)?.epoch ?? 0)
    let acknowledgements = 0
    for (let seed = 1; seed <= RUNS; seed += 1) {
      const random = createRandom(seed)
      await setSynchronous('on')
      let lastAt = 0
      const stop = load(() => {
        acknowledgements += 1
        lastAt = performance.now()
      })
      t.after(stop)
      await delay(random.between(LEAST_LOAD_MS, MOST_LOAD_MS))
      await primary.crash()
      // answers that are under way arrive
      await delay(100)
      const acknowledged = voters.map((voter) => voter.acknowledged)
      const epochBefore = Math.max(...newestEpochs())
      await standby.promote()
      const promotedAt = performance.now()
      const held = await ordersIn(standby.url)
      for (const [index, { id }] of voters.entries()) {
        const [order = 0, has = 0] = [acknowledged[index], held.get(id)]
        assert.ok(has >= order, `seed ${seed}: vote ${order} of ${id} was acknowledged, and the new primary has its vote ${has}`)
      }
      lastAt = 0
      while (lastAt === 0) {
        assert.ok(performance.now() - promotedAt < 30_000, `seed ${seed}: no vote is acknowledged`)
        await delay(5)
      }
      pauses.push(lastAt - promotedAt)
      while (Math.min(...newestEpochs()) <= epochBefore) {
        assert.ok(
          performance.now() - promotedAt < 30_000,
          `seed ${seed}: screens stay with the epochs ${newestEpochs().join(' and ')}`,
        )
        await delay(5)
      }
      shownAfter.push(performance.now() - promotedAt)
      await stop()
      const place = primary.port
      await primary.stop()
      primary = standby
      standby = await newStandby(place)
    }
    const ledger = createTallyLedger()
    for (const [index, screen] of screens.entries())
      for (const tally of screen.tallies) assert.equal(ledger.shown(`screen ${index}`, tally), undefined)
    const [longest, shown] = [Math.max(...pauses), Math.max(...shownAfter)]
    t.diagnostic(`${acknowledgements} acknowledged; pauses after the promotions: ${pauses.map(Math.round).join(' ')} ms`)
    assert.ok(longest <= 2_000, `${longest} ms`)
    assert.ok(shown <= 4_000, `${shown} ms`)
    recordRow({
      part: 'Postgres',
      failure: 'the primary is killed under load and its synchronous standby promoted, 20 times',
      votesPause: `${(longest / 1_000).toFixed(1)} s after the promotion ended, at most`,
      screens: `in the new epoch ${(shown / 1_000).toFixed(1)} s after the promotion ended, at most`,
      lost: `none of ${acknowledgements} acknowledged votes`,
    })
  })

  test('dies alone: no vote is acknowledged until it is back, and screens go on', { timeout: 120_000 }, async (t) => {
    await setSynchronous('on')
    let acknowledged = 0
    let lastAt = 0
    const stop = load(() => {
      acknowledged += 1
      lastAt = performance.now()
    })
    t.after(stop)
    await delay(1_000)
    await standby.crash()
    // answers that are under way arrive
    await delay(500)
    const acknowledgedBefore = acknowledged
    await delay(10_000)
    const sql = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name LIKE 'livetally%'"
    const waiting = Number((await ask<{ n: string }>(primary.url, sql))[0]?.n)
    const ages = await Promise.all(
      cluster.gateways.map(async ({ url }) => {
        const body = (await (await fetch(`${url}/ready`)).json()) as { checks: { source: { ok: boolean } } }
        return body.checks.source.ok
      }),
    )
    assert.equal(acknowledged, acknowledgedBefore)
    assert.deepEqual(ages, [true, true], 'screens are current')
    await standby.start()
    const startedAt = performance.now()
    while (lastAt < startedAt) {
      assert.ok(performance.now() - startedAt < 30_000, 'no vote is acknowledged')
      await delay(5)
    }
    const pauseMs = lastAt - startedAt
    await stop()
    t.diagnostic(`acknowledged ${Math.round(pauseMs)} ms after the standby was back; ${waiting} sessions of Livetally were open`)
    assert.ok(pauseMs <= 8_000, `${pauseMs} ms`)
    recordRow({
      part: 'Postgres',
      failure: 'the only synchronous standby dies for 10 s',
      votesPause: `until it is back and ${(pauseMs / 1_000).toFixed(1)} s more`,
      screens: 'live',
      lost: 'nothing',
    })
  })

  test('costs each commit a round trip and a flush', { timeout: 300_000 }, async (t) => {
    // nearby: a round trip of a network is to be added
    await standby.stop()
    standby = await newStandby(standby.port, primary.port)
    const measured = new Map(LEVELS.map((level) => [level, { commits: [] as number[], votes: [] as number[] }]))
    // in turns, so that whatever else the machine does falls on all of them
    for (let turn = 0; turn < TURNS; turn += 1) {
      for (const [level, { commits, votes }] of measured) {
        await setSynchronous(level)
        const client = new Client({ connectionString: primary.url })
        await client.connect()
        for (const endsAt = performance.now() + TURN_MS; performance.now() < endsAt;) {
          const startedAt = performance.now()
          await client.query('UPDATE livetally.origin SET identity = identity')
          commits.push(performance.now() - startedAt)
        }
        await client.end()
        const stop = load((tookMs) => votes.push(tookMs))
        await delay(TURN_MS)
        await stop()
      }
    }
    for (const [level, { commits, votes }] of measured) {
      const middle = (times: number[]) => (times.toSorted((a, b) => a - b)[times.length >> 1] ?? 0).toFixed(1)
      const perSecond = Math.round((votes.length * 1_000) / (TURNS * TURN_MS))
      t.diagnostic(
        `${level}: a commit alone ${middle(commits)} ms; ${VOTERS} voters cast ${perSecond} votes a second, each ${middle(votes)} ms`,
      )
      assert.ok(perSecond > 0)
    }
  })
})
