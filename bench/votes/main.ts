/**
 * `npm run bench:data`: what votes and tallies cost, as ratios to what the same machine does at best, in one run. `--quick` takes a
 * tenth of the ballots and fewer rounds. Writes bench/results/data.{json,md}.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { startPostgres } from '../../e2e/support/postgres-service.ts'
import { startRedis } from '../../e2e/support/redis-service.ts'
import { measureColdStart, measurePglite } from './embedded.ts'
import { measureHttp } from './http.ts'
import { measureIngest, measureReplicas } from './ingest.ts'
import { median } from './sample.ts'
import { createBenchPoll, openScene } from './scene.ts'
import { fill, measureActive, measureGroupBy, measureIdle, measureLatency, measureReads } from './tallies.ts'

interface Line {
  readonly what: string
  readonly value: number
  readonly unit: string
  readonly aim?: string
  readonly met?: boolean
}

const quick = process.argv.includes('--quick')
const [rounds, roundMs, large] = quick ? [3, 1_000, 1_000_000] : [5, 2_000, 10_000_000]
const lines: Line[] = []
const note = (what: string, value: number, unit = '', aim?: { readonly atLeast?: number; readonly atMost?: number }) => {
  const { atLeast, atMost } = aim ?? {}
  const met = aim === undefined ? undefined : value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity)
  const bound = atLeast === undefined ? `≤ ${atMost}` : `≥ ${atLeast}`
  lines.push({ what, value, unit, ...(met === undefined ? {} : { aim: bound, met }) })
  process.stderr.write(`${what}: ${format(value)} ${unit}${met === undefined ? '' : ` (${bound}: ${met ? 'yes' : 'NO'})`}\n`)
}

await using postgres = await startPostgres({ settings: { shared_buffers: '512MB', max_wal_size: '4GB' } })
await using redis = await startRedis()
const scene = await openScene(postgres.url)
try {
  const ingest = await measureIngest(scene, { rounds, roundMs, flushMs: 0 })
  note('votes acknowledged', ingest.box, '/s')
  note('… against COPY on one connection', ingest.box / ingest.copy, '×', { atLeast: 0.5 })
  note('… against a bare unnest insert', ingest.box / ingest.unnest, '×', { atLeast: 0.6 })
  note('… against a statement per vote', ingest.box / ingest.single, '×', { atLeast: 10 })
  note('… p50', ingest.boxP50Ms, 'ms')
  note('… p99', ingest.boxP99Ms, 'ms', { atMost: 20 })
  const slow = await measureIngest(scene, { rounds: Math.min(rounds, 3), roundMs, flushMs: 5 })
  note('with 5 ms more per flush', slow.box, '/s')
  note('… against a statement per vote', slow.box / slow.single, '×', { atLeast: 30 })

  for (const replicas of [1, 2, 4]) {
    const figures = await measureReplicas(scene, replicas, roundMs * 2)
    note(`${replicas} replica processes`, figures.perSecond, '/s')
    note('… deadlocks', figures.deadlocks, '', { atMost: 0 })
    note('… polls that differ from a recount', figures.drift ? 1 : 0, '', { atMost: 0 })
  }

  const http = await measureHttp(postgres.url, redis.url, { rounds, roundMs })
  note('votes over HTTP, gateway and backend', http.livetally, '/s')
  note('… against an endpoint that only parses', http.livetally / http.parser, '×', { atLeast: 0.5 })

  await scene.database.query({ text: 'TRUNCATE livetally.ballots' })
  const [small, big] = [await createBenchPoll(scene.database, 'small'), await createBenchPoll(scene.database, 'big')]
  await fill(scene, small.id, 10_000)
  const smallReads = await measureReads(scene, small)
  process.stderr.write(`casting ${large} ballots\n`)
  await fill(scene, big.id, large)
  const bigReads = await measureReads(scene, big)
  note('reading one change', bigReads.changeMs, 'ms')
  note(`… at ${large} ballots against 10 000`, bigReads.changeMs / smallReads.changeMs, '×', { atMost: 1.2 })
  note(`a fresh tally at ${large} ballots against 10 000`, bigReads.freshMs / smallReads.freshMs, '×', { atMost: 1.2 })
  const groupBy = await measureGroupBy(scene, big.id)
  note(`GROUP BY at ${large} ballots`, groupBy, 'ms')
  note('… times the cost of a change read', groupBy / bigReads.changeMs, '×', quick ? {} : { atLeast: 5_000 })

  const active = await Promise.all(Array.from({ length: 10 }, (_, i) => createBenchPoll(scene.database, `active-${i}`)))
  const alone = await measureActive(
    scene,
    active.map(({ id }) => id),
  )
  await scene.database.query({
    text: `INSERT INTO livetally.polls (slug, question, options) SELECT 'idle-' || i, '?', '[{"id": "cats", "label": "Cats"}]' FROM generate_series(1, 10000) i`,
  })
  await scene.database.query({
    text: "INSERT INTO livetally.ballots SELECT id, gen_random_uuid(), 'cats' FROM livetally.polls WHERE slug LIKE 'idle-%'",
  })
  const crowded = await measureActive(
    scene,
    active.map(({ id }) => id),
  )
  note('ten active polls among 10 000 against alone', crowded / alone, '×', { atMost: 1.5 })

  const snapshot = await scene.database.openSession({ label: 'long snapshot', statementTimeoutMs: 0 })
  await snapshot.query({ text: 'BEGIN ISOLATION LEVEL REPEATABLE READ' })
  await snapshot.query({ text: 'SELECT count(*) FROM livetally.polls' })
  for (let i = 0; i < 20_000; i += 100) await measureChurn(100)
  const held = await measureReads(scene, small)
  await snapshot.close()
  note('reading one change under a snapshot 20 000 updates old', held.changeMs / smallReads.changeMs, '×', { atMost: 10 })

  const idle = await measureIdle(scene, 5_000)
  if (idle !== undefined) note('an idle poller, share of a core', idle * 100, '%', { atMost: 2 })
  const latency = await measureLatency(scene, quick ? 60 : 200)
  note('commit to published, own votes, p50', latency.ownP50Ms, 'ms')
  note('… p99', latency.ownP99Ms, 'ms', { atMost: 15 })
  note("commit to published, another program's, p50", latency.othersP50Ms, 'ms')
  note('… p99', latency.othersP99Ms, 'ms', { atMost: 60 })

  const pglite = await measurePglite(roundMs * 2)
  note('votes acknowledged on PGlite', pglite.perSecond, '/s')
  note('… against Postgres', pglite.perSecond / ingest.box, '×', { atLeast: 0.4 })
  note('… event loop delay, p99', pglite.loopP99Ms, 'ms', { atMost: 5 })
  const starts: number[] = []
  for (let i = 0; i < 3; i++) starts.push(await measureColdStart())
  note('cold start of the standalone process', median(starts), 'ms', { atMost: 1_500 })
} finally {
  await scene.database.close()
}

const results = new URL('../results/', import.meta.url)
mkdirSync(results, { recursive: true })
const machine = `${cpus().length} cores (${cpus()[0]?.model.trim() ?? 'unknown'}), Node ${process.version}, ${postgres.origin}`
const run = { at: new Date().toISOString(), machine, quick, lines }
writeFileSync(new URL('data.json', results), `${JSON.stringify(run, undefined, 2)}\n`)
writeFileSync(new URL('data.md', results), report())

async function measureChurn(updates: number): Promise<void> {
  await scene.database.withTransaction(async (transaction) => {
    for (let i = 0; i < updates; i++) {
      await transaction.query({
        name: 'churn',
        text: "UPDATE livetally.counters SET ver = ver + 1, xid = pg_current_xact_id() WHERE poll_id = (SELECT id FROM livetally.polls WHERE slug = 'small') AND option = 'cats' AND slot = (SELECT min(slot) FROM livetally.counters WHERE poll_id = (SELECT id FROM livetally.polls WHERE slug = 'small'))",
      })
    }
  })
}

function report(): string {
  const rows = lines.map(
    ({ what, value, unit, aim, met }) =>
      `| ${what} | ${format(value)} ${unit} | ${aim ?? ''} | ${met === undefined ? '' : met ? 'yes' : '**no**'} |`,
  )
  return `# Votes in, tallies out\n\n${machine}; ${run.at}${quick ? '; quick run' : ''}. Medians of interleaved rounds.\n\n| what | measured | aim | met |\n|---|---:|---:|---|\n${rows.join('\n')}\n`
}

function format(value: number): string {
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString('en')
  return Number(value.toPrecision(3)).toString()
}
